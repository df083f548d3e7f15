"""What it costs to know a repository of 10,000 files: build, memory, searches, and a processor's share while typing.

The files are copies of what is installed beside this program, in folders of their own: real code, real sizes.

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

from starcoder_ls.context.context_collector import ContextCollector, ContextSite
from starcoder_ls.context.ignore_rules import IgnoreRules
from starcoder_ls.context.workspace_index import WorkspaceIndex
from starcoder_ls.settings import Context

SEARCHES = 200


def repository(folder: Path, files: int) -> int:
    """``files`` Python files below ``folder``; their bytes."""
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


def built(folder: Path, files: int, is_typing: bool) -> WorkspaceIndex:
    """Build, and print what that took; the longest that the loop of a server would have waited."""
    process = psutil.Process()
    before_bytes = process.memory_info().rss
    began_s, cpu_s = time.perf_counter(), time.process_time()
    workspace = WorkspaceIndex(IgnoreRules([folder]), files)
    stalls_ms = asyncio.run(stalls(workspace, is_typing))
    elapsed_s, used_s = time.perf_counter() - began_s, time.process_time() - cpu_s
    grown_mb = (process.memory_info().rss - before_bytes) / 1e6
    name = "while typing" if is_typing else "alone"
    share = 100 * used_s / elapsed_s
    print(f"{name}: {len(workspace):,} files in {elapsed_s:.1f} s, {used_s:.1f} s of a processor ({share:.0f} %)")
    late = f"{percentiles(stalls_ms)}, at most {max(stalls_ms):.0f} ms"
    print(f"{name}: {grown_mb:.0f} MB more; a 5 ms timer of the event loop came late by {late}")
    return workspace


async def stalls(workspace: WorkspaceIndex, is_typing: bool) -> list[float]:
    late_ms = []
    while not workspace.is_complete.is_set():
        if is_typing:
            workspace.is_typed()
        began_s = time.perf_counter()
        await asyncio.sleep(0.005)
        late_ms.append((time.perf_counter() - began_s) * 1000 - 5)
    return late_ms


def searched(folder: Path, files: int) -> None:
    surroundings = ContextCollector([folder], Context(index_files=files))
    surroundings.workspace.is_complete.wait()
    dice, times_ms = random.Random(1), []
    paths = sorted(folder.rglob("*.py"))
    for number in range(SEARCHES):
        path = dice.choice(paths)
        text = path.read_text(encoding="utf-8", errors="replace")[:60_000]
        place = ContextSite(f"{path}{number}", str(path), text, dice.randrange(len(text) + 1), 3400)
        began_s = time.thread_time()
        surroundings.gathered(place, 512, lambda piece: len(piece) // 3)
        times_ms.append((time.thread_time() - began_s) * 1000)
    print(f"snippets looked for anew, processor time: {percentiles(times_ms)}, at most {max(times_ms):.0f} ms")
    again_ms = []
    for offset in range(SEARCHES):
        typed = ContextSite("again", str(paths[0]), "x = 1\n" * 200 + "y" * offset, 1200 + offset, 3400)
        began_s = time.thread_time()
        surroundings.gathered(typed, 512, lambda piece: len(piece) // 3)
        again_ms.append((time.thread_time() - began_s) * 1000)
    print(f"while typing, the same snippets, processor time: {percentiles(again_ms[1:])}")
    surroundings.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--files", type=int, default=10_000)
    files = parser.parse_args().files
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        size = repository(folder, files)
        print(f"{files:,} files, {size / 1e6:.0f} MB of Python, {os.cpu_count()} processors")
        for is_typing in (False, True):
            workspace = built(folder, files, is_typing)
            workspace.close()
            for thread in threading.enumerate():
                if thread.name == "context-index":
                    thread.join()
        searched(folder, files)


if __name__ == "__main__":
    main()
