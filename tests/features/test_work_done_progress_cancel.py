from __future__ import annotations

from typing import Any

import pytest

from actions import ADAPTER, EDITOR, lsp_range
from fakes import ScriptedEngine
from harness import URI, async_test, initialized_client, notifications_of, wait_until, wait_until_idle
from starcoder_ls.lsp.client import Client, ResponseFailed

CODE = "def add(a, b):\n    return a - b\n"
TARGET: dict[str, Any] = {"uri": URI, "range": lsp_range(0, 2)}
PROGRESS_CAPABILITIES = {**EDITOR, "window": {"workDoneProgress": True}}


def progress_kinds(client: Client) -> list[str]:
    return [params["value"]["kind"] for params in notifications_of(client, "$/progress") if "action" in params["token"]]


@async_test
async def test_long_request_shows_progress_that_can_cancel_it() -> None:
    engine = ScriptedEngine([[f"word{i} " for i in range(5000)]], adapters=["astraios"], token_s=0.01)
    async with initialized_client(engine, capabilities=PROGRESS_CAPABILITIES, options=ADAPTER) as client:
        client.open(URI, CODE)
        pending = client.request("codeAction/resolve", {"title": "x", "data": {**TARGET, "action": "simplify"}})
        await wait_until(lambda: progress_kinds(client) == ["begin"])
        begin = notifications_of(client, "$/progress")[-1]
        assert begin["value"]["title"] == "StarCoder: Simplify"
        assert begin["value"]["cancellable"] is True
        client.notify("window/workDoneProgress/cancel", {"token": begin["token"]})
        with pytest.raises(ResponseFailed) as caught:
            await pending
        assert caught.value.code == -32800
        await wait_until(lambda: progress_kinds(client) == ["begin", "end"])
        steps = engine.steps
        await wait_until_idle(engine)
        assert engine.steps <= steps + 1
        client.notify("window/workDoneProgress/cancel", {"token": begin["token"]})
        client.notify("window/workDoneProgress/cancel", {"token": 12345})
        assert await client.request("starcoder/status")
