"""The cost of a further window of a running daemon: memory, time to the response to ``initialize``, added latency.

The windows run the real command with the bundled model. The added latency is that of ``starcoder/status`` through a
window's process minus that directly at the daemon's socket; the two alternate. It also measures the recovery after
``kill -9`` of the daemon.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table

from starcoder_ls.daemon import connect_or_spawn, runtime_dir
from starcoder_ls.lsp.client import Client, start

WINDOWS, STATUS_PAIRS = 10, 300
SERVE_COMMAND = [sys.executable, "-m", "starcoder_ls", "serve"]


async def connect_directly(path: Path) -> Client:
    """A client that is connected to the daemon without a window's process."""
    connection = runtime_dir.connect(path)
    assert connection is not None
    assert connect_or_spawn.exchange(connection, {"window": 0, "folder": os.getcwd(), "overlay": {}})
    return Client(*await asyncio.open_unix_connection(sock=connection))


def query_daemon(path: Path, query: str = "status") -> dict[str, Any]:
    connection = runtime_dir.connect(path)
    assert connection is not None
    answer = connect_or_spawn.exchange(connection, {"query": query})
    connection.close()
    assert answer is not None
    return answer


async def measure_status_s(client: Client) -> float:
    """Seconds from a ``starcoder/status`` request to its response."""
    started_s = time.monotonic()
    await client.request("starcoder/status")
    return time.monotonic() - started_s


async def wait_for_model(client: Client) -> None:
    while (await client.request("starcoder/status"))["phase"] not in ("ready", "failed"):  # noqa: ASYNC110
        await asyncio.sleep(0.02)


async def measure() -> None:
    start_s: list[float] = []
    daemon_bytes: list[int] = []
    async with AsyncExitStack() as stack:
        clients = []
        for _ in range(WINDOWS):
            started_s = time.monotonic()
            client = await stack.enter_async_context(start(SERVE_COMMAND, stderr=subprocess.DEVNULL))
            await client.initialize()
            start_s.append(time.monotonic() - started_s)
            clients.append(client)
            await wait_for_model(client)
            (path,) = runtime_dir.runtime_dir().glob("*.sock")
            process_id = (await asyncio.to_thread(query_daemon, path))["process"]
            daemon_bytes.append(psutil.Process(process_id).memory_full_info().uss)
        window_processes = [psutil.Process(client.process.pid) for client in clients if client.process is not None]
        window_bytes = [process.memory_full_info().uss for process in window_processes]
        direct_client = await connect_directly(path)
        await direct_client.initialize()
        pairs = [
            (await measure_status_s(clients[0]), await measure_status_s(direct_client)) for _ in range(STATUS_PAIRS)
        ]
        report(start_s, window_bytes, pairs, daemon_bytes)
        direct_client.close()
        await report_recovery(clients[0], process_id)
    await asyncio.to_thread(query_daemon, path, "stop")


def report(
    start_s: list[float], window_bytes: list[int], pairs: list[tuple[float, float]], daemon_bytes: list[int]
) -> None:
    window_ms, direct_ms = ([pair[side] * 1000 for pair in pairs] for side in (0, 1))
    added_ms = statistics.median(window - direct for window, direct in zip(window_ms, direct_ms, strict=True))
    table = Table(f"of {WINDOWS} windows", "median", "worst")
    first_s, *further_s = start_s
    table.add_row("process start to `initialize` reply, starting the daemon", f"{first_s * 1000:.0f} ms", "")
    median_ms, worst_ms = statistics.median(further_s) * 1000, max(further_s) * 1000
    table.add_row("the same, daemon running", f"{median_ms:.0f} ms", f"{worst_ms:.0f} ms")
    median_mb, worst_mb = statistics.median(window_bytes) / 1e6, max(window_bytes) / 1e6
    table.add_row("memory of the process of a window (USS)", f"{median_mb:.1f} MB", f"{worst_mb:.1f} MB")
    added_mb = (daemon_bytes[-1] - daemon_bytes[0]) / (len(daemon_bytes) - 1) / 1e6
    table.add_row("memory of the daemon with one window (USS)", f"{daemon_bytes[0] / 1e6:.0f} MB", "")
    table.add_row("memory that a further window adds to the daemon", f"{added_mb:.1f} MB", "")
    for label, times_ms in (("through a window", window_ms), ("directly at the socket", direct_ms)):
        table.add_row(f"starcoder/status {label}", f"{statistics.median(times_ms):.2f} ms", f"{max(times_ms):.1f} ms")
    Console().print(table)
    print(f"added by the process of a window: {added_ms:.2f} ms (median of {len(pairs)} pairs)")


async def report_recovery(client: Client, process_id: int) -> None:
    """Print the times from ``kill -9`` of the daemon to the next response, and until its successor's model is ready."""
    psutil.Process(process_id).kill()
    killed_s = time.monotonic()
    await client.request("starcoder/status")
    answered_s = time.monotonic() - killed_s
    await wait_for_model(client)
    print(f"after kill -9: a response in {answered_s:.2f} s, the model in {time.monotonic() - killed_s:.2f} s")


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        os.environ["STARCODER_LS_RUNTIME"] = folder
        asyncio.run(measure())


if __name__ == "__main__":
    main()
