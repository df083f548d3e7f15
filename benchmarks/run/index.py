"""The cost of indexing a repository of 10,000 files: build time, memory, searches, and processor time while typing.

The files are copies of the installed Python packages: real code, real sizes.

    python benchmarks/run/index.py [--files 10000]
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import os
import random
import shutil
import statistics
import sysconfig
import tempfile
import threading
import time
from pathlib import Path

import psutil

from starcoder_ls.context.context_collector import ContextCollector
from starcoder_ls.context.context_request import ContextRequest
from starcoder_ls.context.ignore_rules import IgnoreRules
from starcoder_ls.context.workspace_index import WorkspaceIndex
from starcoder_ls.settings import Context

SEARCHES = 200


def create_repository(folder: Path, files: int) -> int:
    """Create ``files`` Python files below ``folder``; returns their size in bytes."""
    installed = sorted(Path(sysconfig.get_paths()["purelib"]).rglob("*.py"))
    random.Random(0).shuffle(installed)
    size = 0
    for number, path in zip(range(files), itertools.cycle(installed), strict=False):
        target = folder / f"part{number % 200}" / f"module{number}.py"
        target.parent.mkdir(exist_ok=True)
        shutil.copyfile(path, target)
        size += target.stat().st_size
    return size


def percentiles(times_ms: list[float]) -> str:
    ordered = sorted(times_ms)
    return f"p50 {statistics.median(ordered):.1f} ms, p95 {ordered[int(0.95 * len(ordered))]:.1f} ms"


def build_index(folder: Path, files: int, is_typing: bool) -> WorkspaceIndex:
    """Build the index and print its cost, and how late the timers of an event loop are meanwhile."""
    process = psutil.Process()
    before_bytes = process.memory_info().rss
    started_s, cpu_s = time.perf_counter(), time.process_time()
    workspace = WorkspaceIndex(IgnoreRules([folder]), files)
    delays_ms = asyncio.run(measure_timer_delays(workspace, is_typing))
    elapsed_s, cpu_used_s = time.perf_counter() - started_s, time.process_time() - cpu_s
    growth_mb = (process.memory_info().rss - before_bytes) / 1e6
    name = "while typing" if is_typing else "alone"
    share = 100 * cpu_used_s / elapsed_s
    print(f"{name}: {len(workspace):,} files in {elapsed_s:.1f} s, {cpu_used_s:.1f} s of a processor ({share:.0f} %)")
    delays = f"{percentiles(delays_ms)}, at most {max(delays_ms):.0f} ms"
    print(f"{name}: {growth_mb:.0f} MB more; a 5 ms timer of the event loop was late by {delays}")
    return workspace


async def measure_timer_delays(workspace: WorkspaceIndex, is_typing: bool) -> list[float]:
    delays_ms = []
    while not workspace.build_complete.is_set():
        if is_typing:
            workspace.notify_typing()
        started_s = time.perf_counter()
        await asyncio.sleep(0.005)
        delays_ms.append((time.perf_counter() - started_s) * 1000 - 5)
    return delays_ms


def measure_collection(folder: Path, files: int) -> None:
    collector = ContextCollector([folder], Context(index_files=files))
    collector.workspace.build_complete.wait()
    rng, times_ms = random.Random(1), []
    paths = sorted(folder.rglob("*.py"))
    for number in range(SEARCHES):
        path = rng.choice(paths)
        text = path.read_text(encoding="utf-8", errors="replace")[:60_000]
        request = ContextRequest(f"{path}{number}", str(path), text, rng.randrange(len(text) + 1), 3400)
        started_s = time.thread_time()
        collector.collect(request, 512, lambda text: len(text) // 3)
        times_ms.append((time.thread_time() - started_s) * 1000)
    print(f"snippets collected again, processor time: {percentiles(times_ms)}, at most {max(times_ms):.0f} ms")
    again_ms = []
    for offset in range(SEARCHES):
        request = ContextRequest("again", str(paths[0]), "x = 1\n" * 200 + "y" * offset, 1200 + offset, 3400)
        started_s = time.thread_time()
        collector.collect(request, 512, lambda text: len(text) // 3)
        again_ms.append((time.thread_time() - started_s) * 1000)
    print(f"while typing, the same snippets, processor time: {percentiles(again_ms[1:])}")
    collector.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--files", type=int, default=10_000)
    files = parser.parse_args().files
    with tempfile.TemporaryDirectory() as folder_name:
        folder = Path(folder_name)
        size = create_repository(folder, files)
        print(f"{files:,} files, {size / 1e6:.0f} MB of Python, {os.cpu_count()} processors")
        for is_typing in (False, True):
            workspace = build_index(folder, files, is_typing)
            workspace.close()
            for thread in threading.enumerate():
                if thread.name == "context-index":
                    thread.join()
        measure_collection(folder, files)


if __name__ == "__main__":
    main()
