"""The installed program in two windows: one daemon, the bundled model, and the commands about daemons."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from starcoder_ls.lsp.client import Client, start

SERVER = [sys.executable, "-m", "starcoder_ls"]
CAPABILITIES = {"textDocument": {"inlineCompletion": {}}}
URI, CODE = "file:///store.py", (Path(__file__).parents[2] / "docs" / "generate.py").read_text(encoding="utf-8")
"""Real code, in which the model has a suggestion at some position."""


async def open_document(client: Client) -> None:
    await client.initialize({"inline_completion": {"budget_ms": 600_000}}, CAPABILITIES)
    client.open(URI, CODE)


async def has_suggestion(client: Client) -> bool:
    """Whether there is a suggestion at one of several positions."""
    for line, text in enumerate(CODE.splitlines()[:60]):
        if text.startswith("    ") and await client.inline_completion(URI, line, 8):
            return True
    return False


def run_command(*arguments: str) -> str:
    return subprocess.run([*SERVER, *arguments], capture_output=True, text=True, check=True).stdout


@pytest.mark.slow
def test_two_windows_share_the_bundled_model_and_outlive_the_daemon(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STARCODER_LS_RUNTIME", str(tmp_path / "run"))
    monkeypatch.setenv("STARCODER_LS_STATE", str(tmp_path / "state"))

    async def scenario() -> None:
        async with start([*SERVER, "serve"], stderr=subprocess.DEVNULL) as first:
            await open_document(first)
            async with start([*SERVER, "serve"], stderr=subprocess.DEVNULL) as second:
                await open_document(second)
                assert await has_suggestion(first)
                (daemon,) = json.loads(await asyncio.to_thread(run_command, "ps", "--json"))
                assert daemon["sharing"]["windows"] == 2
                assert daemon["phase"] in {"ready", "working"}  # it may still compute what follows the suggestion
                assert daemon["memoryBytes"] > 1e6

                assert await second.shutdown() == 0
            psutil.Process(daemon["process"]).kill()
            assert await has_suggestion(first)
            (successor,) = json.loads(await asyncio.to_thread(run_command, "ps", "--json"))
            assert successor["process"] != daemon["process"]
            assert await first.shutdown() == 0
        assert "has ended" in await asyncio.to_thread(run_command, "stop")
        assert os.listdir(tmp_path / "run") == []
        assert "No daemon is running" in await asyncio.to_thread(run_command, "ps")

    asyncio.run(asyncio.wait_for(scenario(), 600))
