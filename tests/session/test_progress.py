from __future__ import annotations

import asyncio
from typing import Any

import pytest

from actions import ADAPTER, EDITOR, execute_command, lsp_range
from fakes import ScriptedEngine
from harness import URI, async_test, initialized_client, notifications_of, wait_until
from starcoder_ls.lsp.client import Client

WHERE: dict[str, Any] = {"uri": URI, "range": lsp_range(0, 1)}


def kinds(client: Client) -> list[str]:
    return [params["value"]["kind"] for params in notifications_of(client, "$/progress") if "action" in params["token"]]


@pytest.mark.parametrize("is_answering", [True, False], ids=["a client that answers", "one that never does"])
@async_test
async def test_progress_begins_only_where_the_client_made_it_and_ends_with_the_work(
    is_answering: bool, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    engine = ScriptedEngine([["a "] * 30], adapters=["astraios"], token_s=0.02)
    async with initialized_client(
        engine, capabilities={**EDITOR, "window": {"workDoneProgress": True}}, options=ADAPTER
    ) as client:
        asked: list[str] = []

        def on_request(method: str, _: Any) -> Any:
            asked.append(method)
            if not is_answering:
                raise OSError  # the client's reader ends: from here on it says nothing

        client.on_request = on_request
        client.open(URI, "x = 1\n")
        running = execute_command(client, "starcoder.explain", WHERE)
        await wait_until(lambda: bool(asked))
        assert asked == ["window/workDoneProgress/create"]
        if is_answering:
            assert (await running)["text"].startswith("a a")
            await wait_until(lambda: kinds(client) == ["begin", "end"])
        else:
            await asyncio.sleep(0.1)
            assert not kinds(client)
