from __future__ import annotations

import asyncio
from typing import Any

import pytest

from actions import ADAPTER, EDITOR, execute_command, lsp_range
from fakes import ScriptedEngine
from harness import URI, async_test, initialized_client, notifications_of, wait_until
from starcoder_ls.lsp.client import Client

TARGET: dict[str, Any] = {"uri": URI, "range": lsp_range(0, 1)}


def progress_kinds(client: Client) -> list[str]:
    return [params["value"]["kind"] for params in notifications_of(client, "$/progress") if "action" in params["token"]]


@pytest.mark.parametrize("is_responding", [True, False], ids=["client responds", "client does not respond"])
@async_test
async def test_progress_begins_after_the_client_created_it_and_ends(
    is_responding: bool, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    engine = ScriptedEngine([["a "] * 30], adapters=["astraios"], token_s=0.02)
    async with initialized_client(
        engine, capabilities={**EDITOR, "window": {"workDoneProgress": True}}, options=ADAPTER
    ) as client:
        requests: list[str] = []

        def on_request(method: str, _: Any) -> Any:
            requests.append(method)
            if not is_responding:
                raise OSError  # ends the client's reader

        client.on_request = on_request
        client.open(URI, "x = 1\n")
        running = execute_command(client, "starcoder.explain", TARGET)
        await wait_until(lambda: bool(requests))
        assert requests == ["window/workDoneProgress/create"]
        if is_responding:
            assert (await running)["text"].startswith("a a")
            await wait_until(lambda: progress_kinds(client) == ["begin", "end"])
        else:
            await asyncio.sleep(0.1)
            assert not progress_kinds(client)
