from __future__ import annotations

import asyncio
from typing import Any

import pytest

from actions import ADAPTER, COMMANDS_ONLY, EDITOR, execute_command, lsp_range
from fakes import ScriptedEngine
from harness import URI, async_test, initialized_client, notifications_of, wait_until
from starcoder_ls.lsp.client import Client, ResponseFailed

CODE = "def add(a, b):\n    return a - b\n"
WHERE: dict[str, Any] = {"uri": URI, "range": lsp_range(0, 2)}
PATIENT = {**EDITOR, "window": {"workDoneProgress": True}}


def kinds(client: Client) -> list[str]:
    return [params["value"]["kind"] for params in notifications_of(client, "$/progress") if "action" in params["token"]]


@async_test
async def test_what_takes_long_shows_and_can_be_cancelled_there() -> None:
    engine = ScriptedEngine([[f"word{i} " for i in range(5000)]], adapters=["astraios"], token_s=0.01)
    async with initialized_client(engine, capabilities=PATIENT, options=ADAPTER) as client:
        client.open(URI, CODE)
        pending = client.request("codeAction/resolve", {"title": "x", "data": {**WHERE, "action": "simplify"}})
        await wait_until(lambda: kinds(client) == ["begin"])
        begun = notifications_of(client, "$/progress")[-1]
        assert begun["value"]["title"] == "StarCoder: Simplify"
        assert begun["value"]["cancellable"] is True
        client.notify("window/workDoneProgress/cancel", {"token": begun["token"]})
        with pytest.raises(ResponseFailed) as caught:
            await pending
        assert caught.value.code == -32800
        await wait_until(lambda: kinds(client) == ["begin", "end"])
        steps = engine.steps
        await asyncio.sleep(0.1)
        assert engine.steps <= steps + 1
        client.notify("window/workDoneProgress/cancel", {"token": begun["token"]})
        client.notify("window/workDoneProgress/cancel", {"token": 12345})
        assert await client.request("starcoder/status")


@pytest.mark.parametrize("capabilities", [PATIENT, COMMANDS_ONLY], ids=["quick", "no progress"])
@async_test
async def test_what_is_quick_or_has_nowhere_to_show_shows_nothing(
    capabilities: dict[str, Any], tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    engine = ScriptedEngine([["It adds."]], adapters=["astraios"])
    async with initialized_client(engine, capabilities=capabilities, options=ADAPTER) as client:
        client.open(URI, CODE)
        assert (await execute_command(client, "starcoder.explain", WHERE))["text"] == "It adds."
        await asyncio.sleep(0.5)
        assert kinds(client) == []
