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

from harness import FAKE_SERVER_COMMAND, INLINE_COMPLETION, URI, async_test, wait_until_ready
from starcoder_ls.lsp.client import Client, ConnectionClosed, start
from starcoder_ls.lsp.framing import frame

LIMIT_S = 3.0
SLOW = {"scripts": [[f"word{i} " for i in range(5000)]], "token_s": 0.05}
WEDGED = {"scripts": [[f"word{i} " for i in range(5000)]], "token_s": 60.0, "is_daemon": False}
"""One decode step outlasts the test: neither the engine nor the interpreter can end in order."""

ENGINES = pytest.mark.parametrize("engine", [SLOW, WEDGED], ids=["decoding", "wedged"])


@asynccontextmanager
async def generating(engine: dict[str, Any], process_id: int | None = None) -> AsyncIterator[Client]:
    async with start([*FAKE_SERVER_COMMAND, json.dumps(engine)], stderr=subprocess.DEVNULL) as client:
        await client.initialize({"inline_completion": {"budget_ms": 60_000}}, INLINE_COMPLETION, process_id)
        await wait_until_ready(client)
        client.open(URI, "x = ")
        asking = asyncio.ensure_future(client.inline_completion(URI, 0, 4).future)
        while (await client.request("starcoder/status"))["phase"] != "working":  # noqa: ASYNC110
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
@async_test
async def test_end_of_input_ends_the_process(engine: dict[str, Any]) -> None:
    async with generating(engine) as client:
        assert await seconds_until_gone(client, client.close) < LIMIT_S


@ENGINES
@async_test
async def test_exit_ends_the_process_with_its_code(engine: dict[str, Any]) -> None:
    async with generating(engine) as client:
        await client.request("shutdown")
        assert await seconds_until_gone(client, lambda: client.notify("exit")) < LIMIT_S
        assert await client.wait_closed() == 0


@ENGINES
@async_test
async def test_the_death_of_the_parent_ends_the_process_though_its_input_stays_open(engine: dict[str, Any]) -> None:
    parent = await asyncio.create_subprocess_exec(sys.executable, "-c", "import time; time.sleep(60)")
    async with generating(engine, parent.pid) as client:
        assert client.process is not None
        assert client.process.returncode is None
        assert await seconds_until_gone(client, parent.kill) < LIMIT_S
    await parent.wait()


@pytest.mark.parametrize("way", ["end of input", "death of the parent"])
@async_test
async def test_even_a_loop_that_is_stuck_does_not_keep_the_process(way: str) -> None:
    parent = await asyncio.create_subprocess_exec(sys.executable, "-c", "import time; time.sleep(60)")
    stuck = json.dumps({"count_s": 60.0})
    async with start([*FAKE_SERVER_COMMAND, stuck], stderr=subprocess.DEVNULL) as client:
        await client.initialize({}, INLINE_COMPLETION, parent.pid)
        await wait_until_ready(client)
        client.open(URI, "x = ")
        client.inline_completion(URI, 0, 4)
        answer = client.request("starcoder/status")
        await asyncio.sleep(0.5)
        assert not answer.future.done()
        assert await seconds_until_gone(client, client.close if way == "end of input" else parent.kill) < LIMIT_S
    if parent.returncode is None:
        parent.kill()
    await parent.wait()


@async_test
async def test_a_parent_that_is_not_visible_here_is_not_watched() -> None:
    """An editor outside of the server's container: its process id means nothing inside."""
    ended = await asyncio.create_subprocess_exec(sys.executable, "-c", "")
    await ended.wait()
    async with generating(SLOW, ended.pid) as client:
        await asyncio.sleep(1.5)
        assert (await client.request("starcoder/status"))["phase"] == "working"


@async_test
async def test_sigterm_ends_the_process() -> None:
    async with generating(SLOW) as client:
        assert client.process is not None
        process = client.process
        assert await seconds_until_gone(client, lambda: process.send_signal(signal.SIGTERM)) < LIMIT_S
        with pytest.raises(ConnectionClosed):
            await client.request("starcoder/status")


def test_a_broken_pipe_ends_the_process() -> None:
    server = subprocess.Popen(
        FAKE_SERVER_COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
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
    """It asks for far more than the 16 MiB that may wait."""
    read_end, write_end = os.pipe()
    server = subprocess.Popen(
        FAKE_SERVER_COMMAND, stdin=subprocess.PIPE, stdout=write_end, stderr=subprocess.PIPE, bufsize=0
    )
    os.close(write_end)
    assert server.stdin is not None
    assert server.stderr is not None
    question = frame(json.dumps({"jsonrpc": "2.0", "id": "x" * 100_000, "method": "nothing"}).encode())
    with pytest.raises(BrokenPipeError):
        write_without_end(server.stdin.fileno(), question)
    server.stdin.close()
    assert server.wait(timeout=LIMIT_S) == 1
    assert b"has not read" in server.stderr.read()
    server.stderr.close()
    os.close(read_end)


def write_without_end(descriptor: int, data: bytes) -> None:
    rest = data
    while True:
        rest = rest[os.write(descriptor, rest) :] or data
