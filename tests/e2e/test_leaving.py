"""When the editor goes, the server goes: real processes, in the middle of a generation."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from harness import FAKE_SERVER, GHOST, URI, ready, scenario
from starcoder_ls.transport.client import Client, ServerGone, start
from starcoder_ls.transport.framing import frame

LIMIT_S = 3.0
SLOW = {"scripts": [["word "] * 5000], "token_s": 0.05}
WEDGED = {"scripts": [["word "] * 5000], "token_s": 60.0}
"""One decode step outlasts the test: closing the engine in order is impossible."""

ENGINES = pytest.mark.parametrize("engine", [SLOW, WEDGED], ids=["decoding", "wedged"])


@asynccontextmanager
async def generating(engine: dict[str, Any], process_id: int | None = None) -> AsyncIterator[Client]:
    async with start([*FAKE_SERVER, json.dumps(engine)], stderr=subprocess.DEVNULL) as client:
        await client.initialize({"inline_completion": {"budget_ms": 60_000}}, GHOST, process_id)
        await ready(client)
        client.open(URI, "x = ")
        asking = asyncio.ensure_future(client.inline_completion(URI, 0, 4).future)
        while (await client.request("starcoder/status"))["phase"] != "working":
            await asyncio.sleep(0.01)
        yield client
        await asyncio.gather(asking, return_exceptions=True)


async def seconds_until_gone(client: Client, leave: Callable[[], None]) -> float:
    begin = time.monotonic()
    leave()
    assert client.process is not None
    await asyncio.wait_for(client.process.wait(), LIMIT_S * 3)
    return time.monotonic() - begin


@ENGINES
@scenario
async def test_end_of_input_ends_the_process(engine: dict[str, Any]) -> None:
    async with generating(engine) as client:
        assert await seconds_until_gone(client, client.hang_up) < LIMIT_S


@ENGINES
@scenario
async def test_exit_ends_the_process_with_its_code(engine: dict[str, Any]) -> None:
    async with generating(engine) as client:
        await client.request("shutdown")
        assert await seconds_until_gone(client, lambda: client.notify("exit")) < LIMIT_S
        assert await client.ended() == 0


@ENGINES
@scenario
async def test_the_death_of_the_parent_ends_the_process_though_its_input_stays_open(engine: dict[str, Any]) -> None:
    parent = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    async with generating(engine, parent.pid) as client:
        assert client.process is not None
        assert client.process.returncode is None
        assert await seconds_until_gone(client, parent.kill) < LIMIT_S  # a zombie: nobody has waited for it
    parent.wait()


@scenario
async def test_a_parent_that_is_not_visible_here_is_not_watched() -> None:
    """An editor outside of the server's container: its process id means nothing inside."""
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    async with generating(SLOW, ended.pid) as client:
        await asyncio.sleep(1.5)
        assert (await client.request("starcoder/status"))["phase"] == "working"


@scenario
async def test_sigterm_ends_the_process() -> None:
    async with generating(SLOW) as client:
        assert client.process is not None
        process = client.process
        assert await seconds_until_gone(client, lambda: process.send_signal(signal.SIGTERM)) < LIMIT_S
        with pytest.raises(ServerGone):
            await client.request("starcoder/status")


def test_a_broken_pipe_ends_the_process() -> None:
    server = subprocess.Popen(FAKE_SERVER, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert server.stdin is not None
    assert server.stdout is not None
    server.stdout.close()
    message = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {"capabilities": {}}}
    server.stdin.write(frame(json.dumps(message).encode()))
    server.stdin.flush()
    begin = time.monotonic()
    assert server.wait(timeout=10) == 1
    assert time.monotonic() - begin < LIMIT_S + 2  # the interpreter has to start first
    server.stdin.close()


def test_a_client_that_reads_nothing_is_hung_up_on() -> None:
    """Far more answers than the 16 MiB that may wait; reading goes on all the while, so asking never blocks."""
    read_end, write_end = os.pipe()
    server = subprocess.Popen(FAKE_SERVER, stdin=subprocess.PIPE, stdout=write_end, stderr=subprocess.PIPE)
    os.close(write_end)
    assert server.stdin is not None
    assert server.stderr is not None
    noise = frame(json.dumps({"jsonrpc": "2.0", "id": "x" * 100_000, "method": "nothing"}).encode())
    with pytest.raises(BrokenPipeError):  # noqa: PT012 - any of the writes may be the one
        for _ in range(1000):
            server.stdin.write(noise)
            server.stdin.flush()
        time.sleep(LIMIT_S)
        server.stdin.write(noise)
    with pytest.raises(BrokenPipeError):
        server.stdin.close()
    assert server.wait(timeout=LIMIT_S) == 1
    assert b"has not read" in server.stderr.read()
    server.stderr.close()
    os.close(read_end)
