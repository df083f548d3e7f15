"""What one more window costs where a resident process is warm: memory, time to the initialize reply, latency added.

The windows are the real command with the bundled model. The latency added is that of `starcoder/status`, through a
window's process and straight to the resident process's socket, taken in turns.
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

import psutil
from rich.console import Console
from rich.table import Table

from starcoder_ls.daemon import connect_or_spawn, runtime_dir
from starcoder_ls.lsp.client import Client, start

WINDOWS, QUESTIONS = 10, 300
SERVE = [sys.executable, "-m", "starcoder_ls", "serve"]


async def straight(path: Path) -> Client:
    connection = runtime_dir.connect(path)
    assert connection is not None
    assert connect_or_spawn.exchange(connection, {"window": 0, "folder": os.getcwd(), "overlay": {}})
    return Client(*await asyncio.open_unix_connection(sock=connection))


async def asked_s(client: Client) -> float:
    began = time.monotonic()
    await client.request("starcoder/status")
    return time.monotonic() - began


async def measured() -> None:
    starts: list[float] = []
    bytes_each: list[int] = []
    resident_bytes: list[int] = []
    async with AsyncExitStack() as stack:
        clients = []
        for _ in range(WINDOWS):
            began = time.monotonic()
            client = await stack.enter_async_context(start(SERVE, stderr=subprocess.DEVNULL))
            await client.initialize()
            starts.append(time.monotonic() - began)
            clients.append(client)
            while (await client.request("starcoder/status"))["phase"] not in ("ready", "failed"):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
            (path,) = runtime_dir.runtime_dir().glob("*.sock")
            process = (await asyncio.to_thread(_answer, path))["process"]
            resident_bytes.append(psutil.Process(process).memory_full_info().uss)
        for client in clients:
            assert client.process is not None
            bytes_each.append(psutil.Process(client.process.pid).memory_full_info().uss)
        direct = await straight(path)
        await direct.initialize()
        pairs = [(await asked_s(clients[0]), await asked_s(direct)) for _ in range(QUESTIONS)]
        report(starts, bytes_each, pairs, resident_bytes)
        direct.close()
        await report_recovery(clients[0], process)
    await asyncio.to_thread(_answer, path, "stop")


async def report_recovery(client: Client, process: int) -> None:
    """kill -9, then the first answer of the next process, and the first of its model."""
    psutil.Process(process).kill()
    began = time.monotonic()
    await client.request("starcoder/status")
    answered_s = time.monotonic() - began
    while (await client.request("starcoder/status"))["phase"] != "ready":  # noqa: ASYNC110
        await asyncio.sleep(0.02)
    print(f"after kill -9: an answer in {answered_s:.2f} s, the model in {time.monotonic() - began:.2f} s")


def _answer(path: Path, query: str = "status") -> dict[str, int]:
    connection = runtime_dir.connect(path)
    assert connection is not None
    answer = connect_or_spawn.exchange(connection, {"query": query})
    connection.close()
    assert answer is not None
    return answer


def report(
    starts: list[float], bytes_each: list[int], pairs: list[tuple[float, float]], resident_bytes: list[int]
) -> None:
    through, direct = ([pair[side] * 1000 for pair in pairs] for side in (0, 1))
    added = statistics.median(one - other for one, other in zip(through, direct, strict=True))
    table = Table("of 10 windows", "median", "worst")
    warm = starts[1:]
    table.add_row("process start to initialize reply, cold", f"{starts[0] * 1000:.0f} ms", "")
    table.add_row("the same, warm", f"{statistics.median(warm) * 1000:.0f} ms", f"{max(warm) * 1000:.0f} ms")
    own, most = statistics.median(bytes_each) / 1e6, max(bytes_each) / 1e6
    table.add_row("memory of a window's process (USS)", f"{own:.1f} MB", f"{most:.1f} MB")
    added_bytes = (resident_bytes[-1] - resident_bytes[0]) / (len(resident_bytes) - 1)
    table.add_row("memory of the resident process with one window (USS)", f"{resident_bytes[0] / 1e6:.0f} MB", "")
    table.add_row("what each further window adds to it", f"{added_bytes / 1e6:.1f} MB", "")
    table.add_row("starcoder/status through a window", f"{statistics.median(through):.2f} ms", f"{max(through):.1f} ms")
    table.add_row("the same, straight", f"{statistics.median(direct):.2f} ms", f"{max(direct):.1f} ms")
    Console().print(table)
    print(f"added by the window's process: {added:.2f} ms (median of {len(pairs)} pairs)")


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        os.environ["STARCODER_LS_RUNTIME"] = folder
        asyncio.run(measured())


if __name__ == "__main__":
    main()
