"""The product as it is installed, in two windows: one process, the bundled model, the commands about it."""

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
GHOST = {"textDocument": {"inlineCompletion": {}}}
URI, CODE = "file:///store.py", (Path(__file__).parents[2] / "docs" / "generate.py").read_text(encoding="utf-8")
"""Any real code will do: at some cursor in it the model has something to say."""


async def opened(client: Client) -> None:
    await client.initialize({"inline_completion": {"budget_ms": 20_000}}, GHOST)
    client.open(URI, CODE)


async def suggests(client: Client) -> bool:
    """At one of the first cursors behind a line's first word."""
    for line, text in enumerate(CODE.splitlines()[:60]):
        if text.startswith("    ") and await client.inline_completion(URI, line, 8):
            return True
    return False


def command(*arguments: str) -> str:
    return subprocess.run([*SERVER, *arguments], capture_output=True, text=True, check=True).stdout


@pytest.mark.slow
def test_two_windows_share_the_bundled_model_and_outlive_its_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STARCODER_LS_RUNTIME", str(tmp_path / "run"))
    monkeypatch.setenv("STARCODER_LS_STATE", str(tmp_path / "state"))

    async def scenario() -> None:
        async with start([*SERVER, "serve"], stderr=subprocess.DEVNULL) as one:
            await opened(one)
            async with start([*SERVER, "serve"], stderr=subprocess.DEVNULL) as two:
                await opened(two)
                assert await suggests(one)
                (listed,) = json.loads(await asyncio.to_thread(command, "ps", "--json"))
                assert (listed["sharing"]["windows"], listed["phase"]) == (2, "ready")
                assert listed["memoryBytes"] > 1e6

                assert await two.shutdown() == 0
            psutil.Process(listed["process"]).kill()
            assert await suggests(one)
            (again,) = json.loads(await asyncio.to_thread(command, "ps", "--json"))
            assert again["process"] != listed["process"]
            assert await one.shutdown() == 0
        assert "has ended" in await asyncio.to_thread(command, "stop")
        assert os.listdir(tmp_path / "run") == []
        assert "No daemon is running" in await asyncio.to_thread(command, "ps")

    asyncio.run(asyncio.wait_for(scenario(), 90))
