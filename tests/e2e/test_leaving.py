"""The server ends when its editor does: real processes, in the middle of a generation."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from harness import FAKE_SERVER_COMMAND, INLINE_COMPLETION, URI, async_test, wait_until, wait_until_ready
from starcoder_ls.lsp.client import Client, ConnectionClosed, start
from starcoder_ls.lsp.framing import frame

EXIT_LIMIT_S = 3.0
"""Editors kill a server that has not ended by then."""

NEVER_S = 3600.0
"""Longer than any test: what waits for it fails by the limit of the test."""

SCRIPT = [f"word{i} " for i in range(5000)]
DECODING = {"scripts": [SCRIPT], "token_s": 0.05}
HANGING = {"scripts": [SCRIPT], "token_s": NEVER_S, "is_daemon": False}
"""A decode step does not return: neither the engine nor the interpreter can end in order."""

ENGINES = pytest.mark.parametrize("engine", [DECODING, HANGING], ids=["decoding", "hanging"])


@asynccontextmanager
async def generating_client(engine: dict[str, Any], process_id: int | None = None) -> AsyncIterator[Client]:
    """A client whose request is being answered."""
    async with start([*FAKE_SERVER_COMMAND, json.dumps(engine)], stderr=subprocess.DEVNULL) as client:
        await client.initialize({"inline_completion": {"budget_ms": 60_000}}, INLINE_COMPLETION, process_id)
        await wait_until_ready(client)
        client.open(URI, "x = ")
        pending = asyncio.ensure_future(client.inline_completion(URI, 0, 4).future)
        while (await client.request("starcoder/status"))["phase"] != "working":  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        yield client
        await asyncio.gather(pending, return_exceptions=True)


@asynccontextmanager
async def parent_process() -> AsyncIterator[asyncio.subprocess.Process]:
    """A process that runs until it is killed."""
    parent = await asyncio.create_subprocess_exec(sys.executable, "-c", "input()", stdin=subprocess.PIPE)
    try:
        yield parent
    finally:
        if parent.returncode is None:
            parent.kill()
        await parent.wait()


async def wait_for_exit(client: Client) -> int:
    assert client.process is not None
    return await client.process.wait()


@ENGINES
@async_test
async def test_server_exits_at_the_end_of_its_input(engine: dict[str, Any]) -> None:
    async with generating_client(engine) as client:
        client.close()
        await wait_for_exit(client)


@ENGINES
@async_test
async def test_exit_notification_ends_the_server_with_code_0(engine: dict[str, Any]) -> None:
    async with generating_client(engine) as client:
        await client.request("shutdown")
        client.notify("exit")
        assert await wait_for_exit(client) == 0


@ENGINES
@async_test
async def test_server_exits_with_its_parent_though_its_input_stays_open(engine: dict[str, Any]) -> None:
    async with parent_process() as parent, generating_client(engine, parent.pid) as client:
        assert client.process is not None
        assert client.process.returncode is None
        parent.kill()
        await wait_for_exit(client)


@pytest.mark.parametrize("cause", ["end of input", "exit of the parent"])
@async_test
async def test_server_exits_although_its_event_loop_is_blocked(cause: str, tmp_path: Path) -> None:
    marker = tmp_path / "blocked"
    blocked = json.dumps({"block_marker": str(marker)})
    async with (
        parent_process() as parent,
        start([*FAKE_SERVER_COMMAND, blocked], stderr=subprocess.DEVNULL) as client,
    ):
        await client.initialize({}, INLINE_COMPLETION, parent.pid)
        await wait_until_ready(client)
        client.open(URI, "x = ")
        client.inline_completion(URI, 0, 4)  # blocks the event loop, which does not return
        await wait_until(marker.exists)
        status = client.request("starcoder/status")
        if cause == "end of input":
            client.close()
        else:
            parent.kill()
        await wait_for_exit(client)
        with pytest.raises(ConnectionClosed):
            await status


@async_test
async def test_parent_that_is_not_visible_is_not_watched() -> None:
    """As an editor outside of the server's container, whose process id means nothing inside."""
    ended = await asyncio.create_subprocess_exec(sys.executable, "-c", "")
    await ended.wait()
    command = [*FAKE_SERVER_COMMAND, json.dumps(DECODING)]
    async with start(command, stderr=subprocess.PIPE) as client:
        await client.initialize({}, INLINE_COMPLETION, ended.pid)
        assert await client.shutdown() == 0
        assert client.process is not None
        assert client.process.stderr is not None
        log = (await client.process.stderr.read()).decode()
    assert f"process {ended.pid}" in log
    assert "not visible" in log


@async_test
async def test_sigterm_ends_the_server() -> None:
    async with generating_client(DECODING) as client:
        assert client.process is not None
        client.process.send_signal(signal.SIGTERM)
        await wait_for_exit(client)
        with pytest.raises(ConnectionClosed):
            await client.request("starcoder/status")


@pytest.mark.perf
@ENGINES
@pytest.mark.parametrize("cause", ["end of input", "exit notification", "exit of the parent", "SIGTERM"])
@async_test
async def test_server_exits_within_3_seconds(engine: dict[str, Any], cause: str) -> None:
    async with parent_process() as parent, generating_client(engine, parent.pid) as client:
        assert client.process is not None
        if cause == "exit notification":
            await client.request("shutdown")
        started_s = time.monotonic()
        if cause == "end of input":
            client.close()
        elif cause == "exit notification":
            client.notify("exit")
        elif cause == "SIGTERM":
            client.process.send_signal(signal.SIGTERM)
        else:
            parent.kill()
        await wait_for_exit(client)
        assert time.monotonic() - started_s < EXIT_LIMIT_S


def test_broken_pipe_ends_the_server() -> None:
    server = subprocess.Popen(
        FAKE_SERVER_COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert server.stdin is not None
    assert server.stdout is not None
    server.stdout.close()
    message = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {"capabilities": {}}}
    server.stdin.write(frame(json.dumps(message).encode()))
    server.stdin.flush()
    assert server.wait() == 1
    server.stdin.close()


def test_client_that_reads_nothing_is_disconnected() -> None:
    """Its requests have far more to answer than the 16 MiB that may wait to be read."""
    read_end, write_end = os.pipe()
    server = subprocess.Popen(
        FAKE_SERVER_COMMAND, stdin=subprocess.PIPE, stdout=write_end, stderr=subprocess.PIPE, bufsize=0
    )
    os.close(write_end)
    assert server.stdin is not None
    assert server.stderr is not None
    request = frame(json.dumps({"jsonrpc": "2.0", "id": "x" * 100_000, "method": "nothing"}).encode())
    with pytest.raises(BrokenPipeError):
        write_repeatedly(server.stdin.fileno(), request)
    server.stdin.close()
    assert server.wait() == 1
    assert b"has not read" in server.stderr.read()
    server.stderr.close()
    os.close(read_end)


def write_repeatedly(descriptor: int, data: bytes) -> None:
    remaining = data
    while True:
        remaining = remaining[os.write(descriptor, remaining) :] or data


RUN_WITH_ENGINE_THREAD = """
import atexit, sys, threading, time
from starcoder_ls import __main__
from starcoder_ls.engine import local_engine
from starcoder_ls.settings import Model
local_engine.EXIT_TIMEOUT_S = local_engine.CLOSE_TIMEOUT_S = 0.1
engine = local_engine.LocalEngine(Model())
engine._thread = threading.Thread(target=time.sleep, args=(float(sys.argv.pop()),), daemon=True)
engine._thread.start()
local_engine._started_engines.add(engine)
atexit.register(print, "finalized")
__main__.main()
"""


@pytest.mark.parametrize(("thread_s", "is_finalized"), [(0.0, True), (NEVER_S, False)])
def test_interpreter_is_not_finalized_beside_an_engine_thread(thread_s: float, is_finalized: bool) -> None:
    command = [sys.executable, "-c", RUN_WITH_ENGINE_THREAD, "--version", str(thread_s)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("starcoder-ls 0.")
    assert ("finalized" in done.stdout) == is_finalized
