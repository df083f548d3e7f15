"""What both completion methods do with a request; what each does alone is tested in tests/features."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from fakes import ScriptedEngine
from harness import URI, async_test, initialized_client, wait_until
from starcoder_ls.errors import EngineBusy, EngineUnreachable
from starcoder_ls.generation import Chunk, Request
from starcoder_ls.lsp.client import Client, PendingRequest

CAPABILITIES: dict[str, Any] = {"textDocument": {"completion": {}, "inlineCompletion": {}}}
METHODS = pytest.mark.parametrize("method", ["textDocument/inlineCompletion", "textDocument/completion"])


def request(client: Client, method: str, character: int) -> PendingRequest:
    position = {"line": 0, "character": character}
    params = {"textDocument": {"uri": URI}, "position": position, "context": {"triggerKind": 2}}
    return client.request(method, params)


@METHODS
@async_test
async def test_request_is_null_while_the_engine_loads(method: str) -> None:
    async with initialized_client(ScriptedEngine(load_s=60), capabilities=CAPABILITIES, is_ready=False) as client:
        client.open(URI, "x = ")
        assert await request(client, method, 4) is None


@METHODS
@async_test
async def test_superseded_request_is_null_and_the_newer_one_is_answered(method: str) -> None:
    engine = ScriptedEngine([[f"word{number} " for number in range(20)]], token_s=0.01)
    async with initialized_client(engine, capabilities=CAPABILITIES) as client:
        client.open(URI, "x = ")
        older = request(client, method, 4)
        await wait_until(lambda: engine.steps >= 2)
        newer = request(client, method, 4)
        assert await older is None
        assert await newer


@METHODS
@async_test
async def test_change_withdraws_the_request_for_the_old_text(method: str) -> None:
    engine = ScriptedEngine([[f"word{number} " for number in range(5000)]], token_s=0.01)
    async with initialized_client(engine, capabilities=CAPABILITIES) as client:
        client.open(URI, "x = ")
        pending = request(client, method, 4)
        await wait_until(lambda: engine.steps >= 2)
        client.change(URI, 2, {"text": "y"})
        assert await pending is None
        assert engine.requests[0].cancel.is_set()


@METHODS
@async_test
async def test_excluded_language_reaches_no_engine(method: str) -> None:
    engine = ScriptedEngine()
    options = {"inline_completion": {"excluded_languages": ["markdown"]}}
    async with initialized_client(engine, capabilities=CAPABILITIES, options=options) as client:
        client.open(URI, "x = ", language="markdown")
        assert not await request(client, method, 4)
        assert not engine.requests


async def automatic(client: Client, character: int, menu: str = "") -> list[str]:
    """The suggestions for a request that typing has caused, while the entry ``menu`` of a menu is selected."""
    params = {
        "textDocument": {"uri": URI},
        "position": {"line": 0, "character": character},
        "context": {"triggerKind": 2},
    }
    if menu:
        edge = {"line": 0, "character": character}
        params["context"] |= {"selectedCompletionInfo": {"range": {"start": edge, "end": edge}, "text": menu}}
    items = await client.request("textDocument/inlineCompletion", params)
    return [item["insertText"] for item in items]


@async_test
async def test_manual_trigger_suggests_on_request_and_while_that_is_typed() -> None:
    engine = ScriptedEngine([["alpha_", "beta", "\n"]])
    options = {"inline_completion": {"trigger": "manual", "candidates": 1}}
    async with initialized_client(engine, capabilities=CAPABILITIES, options=options) as client:
        client.open(URI, "x = ")
        assert await automatic(client, 4) == []
        assert not engine.requests
        (item,) = await client.inline_completion(URI, 0, 4, is_invoked=True)
        assert item["insertText"] == "alpha_beta"
        client.change(URI, 2, {"text": "x = alp"})
        assert await automatic(client, 7) == ["ha_beta"]
        client.change(URI, 3, {"text": "x = beta"})
        assert await automatic(client, 8) == []
        assert await request(client, "textDocument/completion", 8), "its requests do not say who made them"


@pytest.mark.parametrize(("text", "expected"), [("x = ", 1), ("# x = ", 0), ("s = 'a ", 0)])
@async_test
async def test_excluded_regions_get_suggestions_on_request_only(text: str, expected: int) -> None:
    options = {"inline_completion": {"excluded_regions": ["comments", "strings"], "candidates": 1}}
    async with initialized_client(ScriptedEngine(), capabilities=CAPABILITIES, options=options) as client:
        client.open(URI, text)
        assert len(await automatic(client, len(text))) == expected
        assert len((await request(client, "textDocument/completion", len(text)))["items"]) == expected
        assert len(await client.inline_completion(URI, 0, len(text), is_invoked=True)) == 1


@async_test
async def test_short_suggestion_is_hidden_until_it_is_requested() -> None:
    options = {"inline_completion": {"min_chars": 6, "candidates": 1}}
    engine = ScriptedEngine(replies={"x =": ["short", "\n"], "y =": ["longer", "\n"]})
    async with initialized_client(engine, capabilities=CAPABILITIES, options=options) as client:
        client.open(URI, "x = ")
        assert await automatic(client, 4) == []
        assert len(await client.inline_completion(URI, 0, 4, is_invoked=True)) == 1
        client.change(URI, 2, {"text": "y = "})
        assert await automatic(client, 4) == ["longer"]
        client.change(URI, 3, {"text": "y = long"})
        assert await automatic(client, 8) == ["er"], "the whole suggestion is long enough"


@async_test
async def test_max_lines_of_one_cuts_at_the_end_of_the_line() -> None:
    engine = ScriptedEngine([["a = [\n", "    1,\n", "]\n"]])
    options = {"inline_completion": {"max_lines": 1}}
    async with initialized_client(engine, capabilities=CAPABILITIES, options=options) as client:
        client.open(URI, "")
        assert all("\n" not in text for text in await automatic(client, 0))
        assert engine.steps <= 2


@pytest.mark.parametrize(("paused", "expected"), [([], 1), (["menu"], 0)])
@async_test
async def test_menu_pauses_suggestions_if_the_settings_say_so(paused: list[str], expected: int) -> None:
    options = {"inline_completion": {"pause_while": paused}}
    async with initialized_client(ScriptedEngine(), capabilities=CAPABILITIES, options=options) as client:
        client.open(URI, "x = ")
        assert len(await automatic(client, 4, menu="len")) == expected


class SwitchingEngine(ScriptedEngine):
    """The server of its model fails the first request with ``loss``; another model answers from then on."""

    def __init__(self, loss: Exception) -> None:
        super().__init__()
        self._loss = loss

    async def stream(self, request: Request) -> AsyncIterator[Chunk]:
        if self.status().model == "scripted":
            self.set_status(model="local")
            raise self._loss
        async for chunk in super().stream(request):
            yield chunk


@METHODS
@pytest.mark.parametrize("loss", [EngineUnreachable("It is gone."), EngineBusy("It is busy.")])
@async_test
async def test_prompt_is_made_again_if_another_model_answers_now(method: str, loss: Exception) -> None:
    async with initialized_client(SwitchingEngine(loss), capabilities=CAPABILITIES) as client:
        client.open(URI, "x = ")
        assert await request(client, method, 4)


@METHODS
@async_test
async def test_lost_server_gives_null_while_typing(method: str) -> None:
    error = EngineUnreachable("The server is gone. Check it.")
    async with initialized_client(ScriptedEngine(error=error), capabilities=CAPABILITIES) as client:
        client.open(URI, "x = ")
        context = {"triggerKind": 2}
        params = {"textDocument": {"uri": URI}, "position": {"line": 0, "character": 4}, "context": context}
        assert await client.request(method, params) is None
