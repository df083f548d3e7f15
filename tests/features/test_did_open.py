from __future__ import annotations

from fakes import ScriptedEngine, text_before_cursor
from harness import URI, async_test, initialized_client, wait_until


@async_test
async def test_prompt_contains_the_opened_text() -> None:
    engine = ScriptedEngine()
    async with initialized_client(engine) as client:
        client.open("file:///a%20b.py", "x = ")
        assert await client.inline_completion("file:///a%20b.py", 0, 4)
        assert text_before_cursor(engine.requests[0]) == "x = "


@async_test
async def test_reopening_cancels_requests_and_replaces_the_text() -> None:
    engine = ScriptedEngine([[f"word{i} " for i in range(50)]], token_s=0.02)
    async with initialized_client(engine) as client:
        client.open(URI, "x = ")
        pending = client.inline_completion(URI, 0, 4)
        await wait_until(lambda: engine.steps >= 1)
        client.open(URI, "other")
        assert await pending is None
        client.inline_completion(URI, 0, 5)
        await wait_until(lambda: len(engine.requests) == 2)
        assert text_before_cursor(engine.requests[1]) == "other"


@async_test
async def test_unknown_language_and_empty_uri_are_accepted() -> None:
    async with initialized_client(ScriptedEngine()) as client:
        client.open("", "x = ", language="a language from the future")
        assert await client.inline_completion("", 0, 4)


@async_test
async def test_document_without_version_and_language_is_opened() -> None:
    async with initialized_client(ScriptedEngine()) as client:
        client.notify("textDocument/didOpen", {"textDocument": {"uri": URI, "text": "x = ", "languageId": None}})
        client.change(URI, 1, {"range": None, "text": "y = "})
        assert await client.inline_completion(URI, 0, 4)
