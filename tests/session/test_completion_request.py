"""What both completion methods do with a request; what each does alone is tested in tests/features."""

from __future__ import annotations

from typing import Any

import pytest

from fakes import ScriptedEngine
from harness import URI, async_test, initialized_client, wait_until
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
