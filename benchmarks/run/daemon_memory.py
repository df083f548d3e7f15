"""How the heap of one daemon grows: three windows type as fast as it answers, and its process reports its memory.

    python benchmarks/run/daemon_memory.py --requests 100000 [--samples FILE]

Prints, for 100,000 requests after a warm-up, the growth of memory that is in use and of memory that the allocator
keeps. ``make soak`` measures the whole, in hours; this says which part grows. Linux with glibc only.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import ctypes
import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))  # for lib
sys.path.insert(0, str(Path(__file__).parent))

import soak

from lib.soak.memory_slope import theil_sen
from lib.soak.simulated_user import SimulatedUser
from lib.soak.window import CAPABILITIES
from starcoder_ls.commands import resident
from starcoder_ls.daemon import connect_or_spawn, runtime_dir
from starcoder_ls.lsp.client import Client, PendingRequest

INTERVAL_S, PACE_S, MAX_PENDING, TIMEOUT_S = 5.0, 0.004, 3, 600.0
WARM_UP_REQUESTS, PER_REQUESTS = 16_000, 100_000
VISIT_S = (20.0, 90.0)
"""The third window comes and goes."""

ROWS = {
    "anonymous": "memory of the process that is no file",
    "in_use": "allocated in C",
    "kept": "free, kept by the allocator",
    "heap": "both, in the heap",
    "python_objects": "of at most 512 bytes",
}


class Mallinfo2(ctypes.Structure):
    """glibc's statistics of all arenas, in bytes. ``hblkhd`` is what has pages of its own."""

    _fields_ = (
        *((name, ctypes.c_size_t) for name in ("arena", "ordblks", "smblks", "hblks", "hblkhd")),
        *((name, ctypes.c_size_t) for name in ("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost")),
    )


class Window:
    """One client of the daemon, as ``SimulatedUser`` needs it. ``sent`` counts the requests of all windows."""

    def __init__(self, client: Client, sent: Counter[str]) -> None:
        self._client, self._sent = client, sent
        self.pending: dict[asyncio.Future[Any], PendingRequest] = {}

    def request(self, method: str, params: Any) -> asyncio.Future[Any]:
        self._sent[method] += 1
        outcome: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        request = self.pending[outcome] = self._client.request(method, params)

        def set_outcome(answered: asyncio.Future[Any]) -> None:
            del self.pending[outcome]
            if not outcome.done():
                outcome.set_result(answered.result() if answered.exception() is None else None)

        request.future.add_done_callback(set_outcome)
        return outcome

    def cancel(self, future: asyncio.Future[Any]) -> None:
        if (request := self.pending.get(future)) is not None:
            self._client.cancel(request)

    def notify(self, method: str, params: Any) -> None:
        self._client.notify(method, params)


async def use_window(
    name: str, path: Path, sources: Sequence[Path], adapters: Sequence[Path], sent: Counter[str], visits: bool
) -> None:
    """Type until cancelled; if ``visits``, connect again and again."""
    rng = random.Random(name)
    hello = {"window": os.getpid(), "folder": "/", "overlay": {}}
    folders = [{"uri": sources[0].parent.as_uri(), "name": name}]
    while True:
        connection = runtime_dir.connect(path)
        assert connection is not None, "the daemon has ended"
        await asyncio.to_thread(connect_or_spawn.exchange, connection, hello, TIMEOUT_S)
        client = Client(*await asyncio.open_unix_connection(sock=connection))
        await client.initialize(None, CAPABILITIES, workspaceFolders=folders)
        window = Window(client, sent)
        user = SimulatedUser(window, rng, PACE_S, sources, adapters)
        end_s = time.monotonic() + (rng.uniform(*VISIT_S) if visits else float("inf"))
        while time.monotonic() < end_s:
            await user.step()
            client.notifications.clear()
            while len(window.pending) > MAX_PENDING:
                await asyncio.wait(list(window.pending), return_when=asyncio.FIRST_COMPLETED)
        client.close()
        await client.wait_closed()


def sample(library: Any) -> dict[str, float]:
    """Sizes in MB; Python's objects in thousands."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    anonymous_kb = int(status.partition("RssAnon:")[2].split()[0])
    info = library.mallinfo2()
    return {
        "anonymous": anonymous_kb / 1e3,
        "in_use": (info.uordblks + info.hblkhd) / 1e6,
        "kept": info.fordblks / 1e6,
        "heap": info.arena / 1e6,
        "python_objects": sys.getallocatedblocks() / 1e3,
    }


def run_daemon(descriptor: int, path: Path) -> int:
    """Serve, and print a sample to standard output at each interval."""
    library = ctypes.CDLL(None)
    library.mallinfo2.restype = Mallinfo2

    def report() -> None:
        with contextlib.suppress(OSError):
            while True:
                print(json.dumps(sample(library)), flush=True)
                time.sleep(INTERVAL_S)
        os.kill(os.getpid(), signal.SIGTERM)  # the driver has ended

    threading.Thread(target=report, daemon=True).start()
    return resident.run(descriptor, path)


async def drive(requests: int, folder: Path) -> list[dict[str, float]]:
    """The samples of a daemon, each with the number of requests so far."""
    environment = soak.private_environment(folder)
    sources = soak.copy_sources(folder / "work")
    adapters = soak.make_adapters(folder, soak.Options(0.0, 1))
    path = folder / "daemon.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        command = [sys.executable, __file__, "--daemon", str(listener.fileno()), str(path)]
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            *command, pass_fds=(listener.fileno(),), env=environment, stdin=subprocess.DEVNULL, stdout=pipe
        )
    sent: Counter[str] = Counter()
    typing = [
        asyncio.create_task(use_window(f"window {number}", path, sources, adapters, sent, visits=number == 2))
        for number in range(3)
    ]
    samples: list[dict[str, float]] = []
    assert process.stdout is not None
    while sent.total() < requests and not any(task.done() for task in typing):
        sizes = json.loads(await process.stdout.readline())
        samples.append({"requests": sent.total(), **sizes})
    for task in typing:
        task.cancel()
    outcomes = await asyncio.gather(*typing, return_exceptions=True)
    process.terminate()
    await process.communicate()
    for outcome in outcomes:
        if not isinstance(outcome, asyncio.CancelledError):
            raise RuntimeError("a window has ended") from (outcome if isinstance(outcome, Exception) else None)
    return samples


def print_growth(samples: Sequence[dict[str, float]]) -> None:
    """MB (thousands of objects) at the end, and the slope after the warm-up."""
    fitted = [each for each in samples if each["requests"] >= WARM_UP_REQUESTS]
    print(f"{len(samples)} samples, {samples[-1]['requests']:,.0f} requests")
    if len(fitted) < 3:
        print(f"too few after the first {WARM_UP_REQUESTS:,} requests: {samples[-1]}")
        return
    for name, description in ROWS.items():
        growth = theil_sen([each["requests"] for each in fitted], [each[name] for each in fitted]) * PER_REQUESTS
        print(f"{name:15} {fitted[-1][name]:8.1f}  {growth:+7.1f} for {PER_REQUESTS:,} requests  ({description})")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=100_000, help="more than the warm-up of 16,000")
    parser.add_argument("--samples", type=Path, default=None, help="write the samples to this file")
    parser.add_argument("--daemon", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.daemon:
        return run_daemon(int(arguments.daemon[0]), Path(arguments.daemon[1]))
    with tempfile.TemporaryDirectory(prefix="memory-", ignore_cleanup_errors=True) as name:
        samples = asyncio.run(drive(arguments.requests, Path(name)))
    if arguments.samples is not None:
        arguments.samples.write_text(json.dumps(samples), encoding="utf-8")
    print_growth(samples)
    return 0


if __name__ == "__main__":
    sys.exit(main())
