from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from fakes import ScriptedEngine, text_before_cursor
from harness import (
    INLINE_COMPLETION,
    URI,
    async_test,
    initialized_client,
    notifications_of,
    wait_until,
    wait_until_idle,
)
from starcoder_ls.lsp.client import ResponseFailed
from starcoder_ls.settings import InlineCompletion, Settings

LONG = [[f"word{i} " for i in range(5000)]]
PATIENT = Settings(inline_completion=InlineCompletion(budget_ms=60_000, max_new_tokens=1024))


def edit(line: int, character: int, text: str) -> dict[str, Any]:
    place = {"line": line, "character": character}
    return {"range": {"start": place, "end": place}, "text": text}


@async_test
async def test_typing_asks_for_one_suggestion_and_asking_by_hand_for_several_different_ones() -> None:
    scripts = [["one()\n"], ["two()\n"], ["one()\n"]]
    async with initialized_client(ScriptedEngine(scripts)) as client:
        client.open(URI, "x = ")
        typed = await client.inline_completion(URI, 0, 4)
        assert [item["insertText"] for item in typed] == ["one()"]
        asked = await client.inline_completion(URI, 0, 4, is_invoked=True)
        assert [item["insertText"] for item in asked] == ["one()", "two()"]


@pytest.mark.parametrize(("encoding", "character"), [("utf-8", 12), ("utf-16", 10), ("utf-32", 9)])
@async_test
async def test_the_range_is_always_set_and_in_the_clients_encoding(encoding: str, character: int) -> None:
    capabilities = {**INLINE_COMPLETION, "general": {"positionEncodings": ["unheard-of", encoding, "utf-16"]}}
    engine = ScriptedEngine()
    async with initialized_client(engine, capabilities=capabilities) as client:
        assert client.capabilities["positionEncoding"] == encoding
        client.open(URI, "a\u2028\f\ns = '😀' + ")
        (item,) = await client.inline_completion(URI, 1, character)
        here = {"line": 1, "character": character}
        assert item["range"] == {"start": here, "end": here}
        assert text_before_cursor(engine.requests[-1]) == "a\u2028\f\ns = '😀' +"


@async_test
async def test_a_newer_request_at_the_same_place_goes_on_with_what_the_older_one_began() -> None:
    engine = ScriptedEngine([[f"word{i} " for i in range(40)]], token_s=0.01)
    async with initialized_client(engine, PATIENT) as client:
        client.open(URI, "x = ")
        older = client.inline_completion(URI, 0, 4)
        await wait_until(lambda: engine.steps >= 2)
        begin = time.monotonic()
        newer = client.inline_completion(URI, 0, 4)
        assert await older is None
        assert time.monotonic() - begin < 0.1
        (item,) = await newer
        assert item["insertText"].startswith("word0 word1 ")
        assert len(engine.requests) == 1
        assert (await client.request("starcoder/stats"))["last"]["source"] == "resumed"


@async_test
async def test_a_newer_request_elsewhere_ends_the_older_one_at_once_with_null() -> None:
    engine = ScriptedEngine(LONG, token_s=0.02)
    async with initialized_client(engine, PATIENT) as client:
        client.open(URI, "x = \ny = ")
        older = client.inline_completion(URI, 0, 4)
        await wait_until(lambda: engine.steps >= 2)
        newer = client.inline_completion(URI, 1, 4)
        assert await older is None
        await wait_until(lambda: len(engine.requests) == 2)
        assert engine.requests[0].cancel.is_set()
        assert not engine.requests[1].cancel.is_set()
        client.cancel(newer)


@async_test
async def test_a_request_for_another_document_is_left_alone() -> None:
    engine = ScriptedEngine(token_s=0.01)
    async with initialized_client(engine) as client:
        client.open(URI, "x = ")
        client.open(URI + "2", "y = ")
        first, second = (client.inline_completion(uri, 0, 4) for uri in (URI, URI + "2"))
        assert await first
        assert await second


@async_test
async def test_a_cancelled_request_is_answered_at_once_and_decoding_stops_within_a_token() -> None:
    engine = ScriptedEngine(LONG, token_s=0.02)
    async with initialized_client(engine, PATIENT) as client:
        client.open(URI, "x = ")
        pending = client.inline_completion(URI, 0, 4)
        await wait_until(lambda: engine.steps >= 2)
        client.cancel(pending)
        begin = time.monotonic()
        with pytest.raises(ResponseFailed) as caught:
            await pending
        steps = engine.steps
        assert caught.value.code == -32800
        assert time.monotonic() - begin < 0.1
        await asyncio.sleep(0.2)
        assert engine.steps <= steps + 1
        assert not client.unmatched_responses


@async_test
async def test_a_change_ends_what_was_asked_about_the_text_before_it() -> None:
    engine = ScriptedEngine(LONG, token_s=0.02)
    async with initialized_client(engine, PATIENT) as client:
        client.open(URI, "x = ")
        pending = client.inline_completion(URI, 0, 4)
        await wait_until(lambda: engine.steps >= 2)
        client.change(URI, 2, edit(0, 0, "y"))
        begin = time.monotonic()
        assert await pending is None
        assert time.monotonic() - begin < 0.1
        steps = engine.steps
        await wait_until_idle(engine)
        assert engine.steps <= steps + 1


@async_test
async def test_a_request_that_a_change_overtakes_in_the_same_packet_is_null_and_costs_nothing() -> None:
    engine = ScriptedEngine()
    async with initialized_client(engine) as client:
        client.open(URI, "x = ")
        asked = [client.inline_completion(URI, 0, 4)]
        client.change(URI, 2, edit(0, 4, "12"))
        asked.append(client.inline_completion(URI, 0, 6))
        assert await asked[0] is None
        (item,) = await asked[1]
        assert item["range"]["start"] == {"line": 0, "character": 6}
        assert [text_before_cursor(request) for request in engine.requests] == ["x = 12"]


@pytest.mark.parametrize(
    ("opened", "line", "character"),
    [(False, 0, 0), (True, 9, 0), (True, 1, 2)],
    ids=["document never opened", "line that is not there", "inside a character"],
)
@async_test
async def test_a_place_that_cannot_be_true_is_answered_null_without_the_engine(
    opened: bool, line: int, character: int
) -> None:
    engine = ScriptedEngine()
    async with initialized_client(engine) as client:
        if opened:
            client.open(URI, "x\n'😀'")
        assert await client.inline_completion(URI, line, character, is_invoked=True) is None
        assert not engine.requests


@async_test
async def test_a_lost_document_is_answered_null_until_it_is_sent_whole() -> None:
    async with initialized_client(ScriptedEngine()) as client:
        client.open(URI, "x = ")
        client.change(URI, 5, edit(7, 0, "?"))
        assert await client.inline_completion(URI, 0, 4) is None
        client.change(URI, 6, edit(0, 0, "y"))
        assert await client.inline_completion(URI, 0, 4) is None
        client.change(URI, 7, {"text": "x = "})
        assert await client.inline_completion(URI, 0, 4)
        client.change(URI, 7, edit(0, 0, "y"))
        assert await client.inline_completion(URI, 0, 4) is None
        client.open(URI, "x = ")
        assert await client.inline_completion(URI, 0, 4)
        assert not notifications_of(client, "window/showMessage")


@async_test
async def test_an_answer_about_a_text_lost_meanwhile_is_null() -> None:
    engine = ScriptedEngine([["word"] * 10 + ["\n"]], token_s=0.01)
    async with initialized_client(engine) as client:
        client.open(URI, "x = ")
        pending = client.inline_completion(URI, 0, 4)
        await wait_until(lambda: engine.steps >= 2)
        client.change(URI, 2, {"text": None})
        assert await pending is None


@async_test
async def test_while_the_model_loads_the_answer_is_null_at_once() -> None:
    async with initialized_client(ScriptedEngine(load_s=5), is_ready=False) as client:
        client.open(URI, "x = ")
        begin = time.monotonic()
        assert await client.inline_completion(URI, 0, 4) is None
        assert await client.inline_completion(URI, 0, 4, is_invoked=True) is None
        assert time.monotonic() - begin < 0.5


@async_test
async def test_nothing_worth_showing_is_empty_and_so_is_switched_off() -> None:
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
async def test_an_excluded_language_gets_no_suggestions_and_others_do() -> None:
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
async def test_with_a_menu_open_the_ghost_continues_its_selected_entry() -> None:
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
    async with initialized_client(
        engine, options={"inline_completion": {"max_new_tokens": 3, "candidates": 2}}
    ) as client:
        client.open(URI, "x = ")
        await client.inline_completion(URI, 0, 4, is_invoked=True)
        request = engine.requests[0]
        assert (request.max_new_tokens, request.candidates, request.document) == (3, 2, URI)


@async_test
async def test_typing_through_a_suggestion_is_answered_from_memory_with_the_closers_the_editor_made() -> None:
    engine = ScriptedEngine([["call(", "name", ") + 1", "\n"]])
    async with initialized_client(engine, options={"inline_completion": {"ahead": False}}) as client:
        client.open(URI, "x = \n")
        (item,) = await client.inline_completion(URI, 0, 4)
        assert item["insertText"] == "call(name) + 1"
        client.change(URI, 2, edit(0, 4, "call"))
        client.change(URI, 3, edit(0, 8, "()"))
        (item,) = await client.inline_completion(URI, 0, 9)
        assert item["insertText"] == "name) + 1"
        assert item["range"] == {"start": {"line": 0, "character": 9}, "end": {"line": 0, "character": 10}}
        client.change(URI, 4, edit(0, 9, "nam"))
        (item,) = await client.inline_completion(URI, 0, 12)
        assert item["insertText"] == "e) + 1"
        assert sum(request.max_new_tokens > 0 for request in engine.requests) == 1


@async_test
async def test_a_request_that_typing_supersedes_is_null_at_once_and_the_next_goes_on_with_its_generation() -> None:
    engine = ScriptedEngine([["value", " = ", "call(", "other", ")", "\n"]], token_s=0.03)
    async with initialized_client(engine, options={"inline_completion": {"ahead": False}}) as client:
        client.open(URI, "my_\n")
        older = client.inline_completion(URI, 0, 3)
        await wait_until(lambda: engine.steps >= 2)
        begin = time.monotonic()
        client.change(URI, 2, edit(0, 3, "val"))
        newer = client.inline_completion(URI, 0, 6)
        assert await older is None
        assert time.monotonic() - begin < 0.1
        (item,) = await newer
        assert item["insertText"] == "ue = call(other)"
        assert sum(request.max_new_tokens > 0 for request in engine.requests) == 1


@async_test
async def test_an_edit_elsewhere_in_the_window_makes_a_suggestion_unknown() -> None:
    engine = ScriptedEngine([["call()", "\n"]])
    async with initialized_client(engine, options={"inline_completion": {"ahead": False}}) as client:
        client.open(URI, "a = 1\nx = \nb = 2\n")
        await client.inline_completion(URI, 1, 4)
        client.change(URI, 2, edit(2, 5, "0"))
        await client.inline_completion(URI, 1, 4)
        client.change(URI, 3, edit(0, 5, "0"))
        await client.inline_completion(URI, 1, 4)
        assert sum(request.max_new_tokens > 0 for request in engine.requests) == 3
