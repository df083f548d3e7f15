from __future__ import annotations

from typing import Any

import pytest

from fakes import ScriptedEngine, text_before_cursor
from harness import INLINE_COMPLETION, URI, async_test, initialized_client, notifications_of, wait_until
from starcoder_ls.lsp.client import ResponseFailed
from starcoder_ls.settings import InlineCompletion, Settings
from stepped_engine import SteppedEngine, settle

LONG_SCRIPT = [f"word{i} " for i in range(5000)]
LONG_BUDGET = Settings(inline_completion=InlineCompletion(budget_ms=600_000, max_new_tokens=1024))
NO_PREFETCH = {"inline_completion": {"ahead": False}}


def insertion(line: int, character: int, text: str) -> dict[str, Any]:
    position = {"line": line, "character": character}
    return {"range": {"start": position, "end": position}, "text": text}


async def wait_until_generating(engine: SteppedEngine, steps: int = 2) -> None:
    """Wait until the engine has a request, and let it make ``steps`` steps."""
    await wait_until(lambda: bool(engine.generations))
    await engine.step(steps)


@async_test
async def test_typing_gives_one_suggestion_and_invoking_several_different_ones() -> None:
    scripts = [["one()\n"], ["two()\n"], ["one()\n"]]
    async with initialized_client(ScriptedEngine(scripts)) as client:
        client.open(URI, "x = ")
        automatic = await client.inline_completion(URI, 0, 4)
        assert [item["insertText"] for item in automatic] == ["one()"]
        invoked = await client.inline_completion(URI, 0, 4, is_invoked=True)
        assert [item["insertText"] for item in invoked] == ["one()", "two()"]


@pytest.mark.parametrize(("encoding", "character"), [("utf-8", 12), ("utf-16", 10), ("utf-32", 9)])
@async_test
async def test_range_is_set_in_the_clients_position_encoding(encoding: str, character: int) -> None:
    capabilities = {**INLINE_COMPLETION, "general": {"positionEncodings": ["unheard-of", encoding, "utf-16"]}}
    engine = ScriptedEngine()
    async with initialized_client(engine, capabilities=capabilities) as client:
        assert client.capabilities["positionEncoding"] == encoding
        client.open(URI, "a\u2028\f\ns = '😀' + ")
        (item,) = await client.inline_completion(URI, 1, character)
        cursor = {"line": 1, "character": character}
        assert item["range"] == {"start": cursor, "end": cursor}
        assert text_before_cursor(engine.requests[-1]) == "a\u2028\f\ns = '😀' +"


@async_test
async def test_newer_request_at_the_same_cursor_resumes_the_generation() -> None:
    engine = SteppedEngine([f"word{i} " for i in range(40)], is_stepped=True)
    async with initialized_client(engine, LONG_BUDGET, options=NO_PREFETCH) as client:
        client.open(URI, "x = ")
        older = client.inline_completion(URI, 0, 4)
        await wait_until_generating(engine)
        newer = client.inline_completion(URI, 0, 4)
        assert await older is None
        assert engine.steps == 2  # the answer did not wait for the generation
        await settle()
        await engine.run()
        (item,) = await newer
        assert item["insertText"].startswith("word0 word1 ")
        assert len(engine.generations) == 1
        assert (await client.request("starcoder/stats"))["last"]["source"] == "resumed"


@async_test
async def test_newer_request_elsewhere_cancels_the_generation() -> None:
    engine = SteppedEngine(LONG_SCRIPT, is_stepped=True)
    async with initialized_client(engine, LONG_BUDGET) as client:
        client.open(URI, "x = \ny = ")
        older = client.inline_completion(URI, 0, 4)
        await wait_until_generating(engine)
        newer = client.inline_completion(URI, 1, 4)
        assert await older is None
        await wait_until(lambda: len(engine.generations) == 2)
        assert engine.generations[0].cancel.is_set()
        assert not engine.generations[1].cancel.is_set()
        client.cancel(newer)


@async_test
async def test_requests_for_different_documents_are_both_answered() -> None:
    engine = ScriptedEngine(token_s=0.01)
    async with initialized_client(engine) as client:
        client.open(URI, "x = ")
        client.open(URI + "2", "y = ")
        first, second = (client.inline_completion(uri, 0, 4) for uri in (URI, URI + "2"))
        assert await first
        assert await second


@async_test
async def test_cancelled_request_is_answered_at_once_and_generation_stops() -> None:
    engine = SteppedEngine(LONG_SCRIPT, is_stepped=True)
    async with initialized_client(engine, LONG_BUDGET) as client:
        client.open(URI, "x = ")
        pending = client.inline_completion(URI, 0, 4)
        await wait_until_generating(engine)
        client.cancel(pending)
        with pytest.raises(ResponseFailed) as caught:
            await pending
        assert caught.value.code == -32800
        await wait_until(engine.generations[0].cancel.is_set)
        await engine.run()
        assert engine.steps == 2
        assert not client.unmatched_responses


@async_test
async def test_change_answers_the_request_at_once_and_stops_the_generation() -> None:
    engine = SteppedEngine(LONG_SCRIPT, is_stepped=True)
    async with initialized_client(engine, LONG_BUDGET) as client:
        client.open(URI, "x = ")
        pending = client.inline_completion(URI, 0, 4)
        await wait_until_generating(engine)
        client.change(URI, 2, insertion(0, 0, "y"))
        assert await pending is None
        assert engine.generations[0].cancel.is_set()
        await engine.run()
        assert engine.steps == 2


@async_test
async def test_request_overtaken_by_a_change_in_its_packet_costs_nothing() -> None:
    engine = ScriptedEngine()
    async with initialized_client(engine) as client:
        client.open(URI, "x = ")
        older = client.inline_completion(URI, 0, 4)
        client.change(URI, 2, insertion(0, 4, "12"))
        newer = client.inline_completion(URI, 0, 6)
        assert await older is None
        (item,) = await newer
        assert item["range"]["start"] == {"line": 0, "character": 6}
        assert [text_before_cursor(request) for request in engine.requests] == ["x = 12"]


@pytest.mark.parametrize(
    ("is_open", "line", "character"),
    [(False, 0, 0), (True, 9, 0), (True, 1, 2)],
    ids=["document not open", "missing line", "inside a character"],
)
@async_test
async def test_impossible_position_is_null_without_the_engine(is_open: bool, line: int, character: int) -> None:
    engine = ScriptedEngine()
    async with initialized_client(engine) as client:
        if is_open:
            client.open(URI, "x\n'😀'")
        assert await client.inline_completion(URI, line, character, is_invoked=True) is None
        assert not engine.requests


@async_test
async def test_document_out_of_sync_is_null_until_its_whole_text_is_sent() -> None:
    async with initialized_client(ScriptedEngine()) as client:
        client.open(URI, "x = ")
        client.change(URI, 5, insertion(-1, 0, "?"))
        assert await client.inline_completion(URI, 0, 4) is None
        client.change(URI, 6, insertion(0, 0, "y"))
        assert await client.inline_completion(URI, 0, 4) is None
        client.change(URI, 7, {"text": "x = "})
        assert await client.inline_completion(URI, 0, 4)
        client.change(URI, 7, insertion(0, 0, "y"))
        assert await client.inline_completion(URI, 0, 4) is None
        client.open(URI, "x = ")
        assert await client.inline_completion(URI, 0, 4)
        assert not notifications_of(client, "window/showMessage")


@async_test
async def test_answer_for_a_document_that_gets_out_of_sync_is_null() -> None:
    engine = SteppedEngine(["word"] * 10 + ["\n"], is_stepped=True)
    async with initialized_client(engine) as client:
        client.open(URI, "x = ")
        pending = client.inline_completion(URI, 0, 4)
        await wait_until_generating(engine)
        client.change(URI, 2, {"text": None})
        await engine.run()
        assert await pending is None


@async_test
async def test_answer_is_null_at_once_while_the_model_loads() -> None:
    engine = ScriptedEngine(load_s=3600)
    async with initialized_client(engine, is_ready=False) as client:
        client.open(URI, "x = ")
        assert await client.inline_completion(URI, 0, 4) is None
        assert await client.inline_completion(URI, 0, 4, is_invoked=True) is None


@async_test
async def test_answer_is_empty_without_suggestions_and_if_switched_off() -> None:
    async with initialized_client(ScriptedEngine([[" \n"]])) as client:
        client.open(URI, "x = ")
        assert await client.inline_completion(URI, 0, 4, is_invoked=True) == []
    off = Settings(inline_completion=InlineCompletion(enabled=False))
    engine = ScriptedEngine()
    async with initialized_client(engine, off) as client:
        client.open(URI, "x = ")
        assert await client.inline_completion(URI, 0, 4) == []
        assert not engine.requests


@async_test
async def test_excluded_language_gets_no_suggestions_and_others_do() -> None:
    engine = ScriptedEngine()
    async with initialized_client(engine) as client:
        excluded = {"inline_completion": {"excluded_languages": ["markdown"]}}
        client.notify("workspace/didChangeConfiguration", {"settings": {"starcoder": excluded}})
        client.open(URI, "x = ", language="markdown")
        assert await client.inline_completion(URI, 0, 4) == []
        assert not engine.requests
        client.open(f"{URI}i", "x = ")
        assert await client.inline_completion(f"{URI}i", 0, 4)


@async_test
async def test_suggestion_continues_the_selected_entry_of_an_open_menu() -> None:
    engine = ScriptedEngine([["(1)\n"]])
    async with initialized_client(engine) as client:
        client.open(URI, "x.app;")
        selected = {
            "range": {"start": {"line": 0, "character": 2}, "end": {"line": 0, "character": 5}},
            "text": "append",
        }
        (item,) = await client.request(
            "textDocument/inlineCompletion",
            {
                "textDocument": {"uri": URI},
                "position": {"line": 0, "character": 5},
                "context": {"triggerKind": 2, "selectedCompletionInfo": selected},
            },
        )
        assert item["insertText"] == "append(1)"
        assert item["range"] == selected["range"]
        assert text_before_cursor(engine.requests[0]) == "x.append"


@async_test
async def test_settings_of_the_client_reach_the_engine() -> None:
    engine = ScriptedEngine([["a", "b", "c", "d"]])
    options = {"inline_completion": {"max_new_tokens": 3, "candidates": 2}}
    async with initialized_client(engine, options=options) as client:
        client.open(URI, "x = ")
        await client.inline_completion(URI, 0, 4, is_invoked=True)
        request = engine.requests[0]
        assert (request.max_new_tokens, request.candidates, request.document) == (3, 2, URI)


@async_test
async def test_typing_through_a_suggestion_replaces_the_editors_closers() -> None:
    engine = SteppedEngine(["call(", "name", ") + 1", "\n"])
    async with initialized_client(engine, options=NO_PREFETCH) as client:
        client.open(URI, "x = \n")
        (item,) = await client.inline_completion(URI, 0, 4)
        assert item["insertText"] == "call(name) + 1"
        client.change(URI, 2, insertion(0, 4, "call"))
        client.change(URI, 3, insertion(0, 8, "()"))
        (item,) = await client.inline_completion(URI, 0, 9)
        assert item["insertText"] == "name) + 1"
        assert item["range"] == {"start": {"line": 0, "character": 9}, "end": {"line": 0, "character": 10}}
        client.change(URI, 4, insertion(0, 9, "nam"))
        (item,) = await client.inline_completion(URI, 0, 12)
        assert item["insertText"] == "e) + 1"
        assert len(engine.generations) == 1


@async_test
async def test_request_after_typing_the_generated_text_resumes_the_generation() -> None:
    engine = SteppedEngine(["value", " = ", "call(", "other", ")", "\n"], is_stepped=True)
    async with initialized_client(engine, options=NO_PREFETCH) as client:
        client.open(URI, "my_\n")
        older = client.inline_completion(URI, 0, 3)
        await wait_until_generating(engine)
        client.change(URI, 2, insertion(0, 3, "val"))
        newer = client.inline_completion(URI, 0, 6)
        assert await older is None
        assert engine.steps == 2  # the answer did not wait for the generation
        await settle()
        await engine.run()
        (item,) = await newer
        assert item["insertText"] == "ue = call(other)"
        assert len(engine.generations) == 1


@async_test
async def test_edit_elsewhere_in_the_prompt_invalidates_the_suggestion() -> None:
    engine = SteppedEngine(["call()", "\n"])
    async with initialized_client(engine, options=NO_PREFETCH) as client:
        client.open(URI, "a = 1\nx = \nb = 2\n")
        await client.inline_completion(URI, 1, 4)
        client.change(URI, 2, insertion(2, 5, "0"))
        await client.inline_completion(URI, 1, 4)
        client.change(URI, 3, insertion(0, 5, "0"))
        await client.inline_completion(URI, 1, 4)
        assert len(engine.generations) == 3
