from __future__ import annotations

from fakes import ScriptedEngine
from harness import URI, async_test, initialized_client, wait_until


@async_test
async def test_closing_ends_what_was_asked_and_forgets_the_text() -> None:
    engine = ScriptedEngine([[f"word{i} " for i in range(50)]], token_s=0.02)
    async with initialized_client(engine) as client:
        client.open(URI, "x = ")
        pending = client.inline_completion(URI, 0, 4)
        await wait_until(lambda: engine.steps >= 1)
        client.notify("textDocument/didClose", {"textDocument": {"uri": URI}})
        assert await pending is None
        assert engine.requests[0].cancel.is_set()
        assert await client.inline_completion(URI, 0, 4) is None
        assert len(engine.requests) == 1


@async_test
async def test_closing_what_is_not_open_is_harmless() -> None:
    async with initialized_client(ScriptedEngine()) as client:
        client.notify("textDocument/didClose", {"textDocument": {"uri": URI}})
        client.open(URI, "x = ")
        assert await client.inline_completion(URI, 0, 4)
