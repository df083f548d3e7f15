"""Hours of typing in several windows, while processes are killed, stopped and terminated at random.

    make soak HOURS=2        or        python benchmarks/run/soak.py --hours 2 [--seed N] [--report FOLDER]

Two groups of windows have a daemon each. Group ``steady``: the daemon and two windows are never disturbed, so that a
line can be fitted to their memory; a third window comes and goes. Every five minutes its users close everything and
rest, and that line goes through the samples at the end of the rests. Group ``faults``: everything is disturbed. The
exit code is 1 if memory grows by the limit or more, if a request stays unanswered, if an exit code is wrong, or if a
process is left.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import random
import shutil
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console

sys.path.insert(0, str(Path(__file__).parents[1]))  # for lib

from lib.soak import report
from lib.soak.faults import FaultInjector
from lib.soak.process_samples import SampleLog, daemon_ids, processes_with_variable
from lib.soak.report import Limits
from lib.soak.request_ledger import RequestLedger
from lib.soak.window import Window, WindowOptions

ROOT = Path(__file__).parents[2]
COMMAND = (sys.executable, "-m", "starcoder_ls")
ADAPTER_SCRIPT = ROOT / "benchmarks" / "lib" / "soak" / "make_adapter.py"
HUMAN_S, FAST_S = 0.13, 0.04
"""Medians of the time between two keys. The human one is that of benchmarks/lib/typist.py."""
MAX_SOURCE_BYTES, SOURCE_FILES = 60_000, 150
END_TIMEOUT_S = 30.0
PROGRESS_INTERVAL_S = 300.0


@dataclass(frozen=True, slots=True)
class Options:
    """The run lasts for ``duration_s`` and until ``min_results`` requests of each group had a result.

    ``serve_command`` starts a window. ``fault_interval_s`` is the mean time between two faults of a group. A rest of
    ``rest_s`` is longer than the interval in which the engine trims its heap.
    """

    duration_s: float
    seed: int
    min_results: int = 0
    serve_command: Sequence[str] = (*COMMAND, "serve")
    has_adapters: bool = True
    sample_interval_s: float = 10.0
    fault_interval_s: float = 45.0
    rest_interval_s: float = 300.0
    rest_s: float = 75.0
    limits: Limits = field(default_factory=Limits)


class Group:
    """Windows that share a daemon, and the faults that they meet."""

    def __init__(self, name: str, folder: Path, options: Options, window_options: WindowOptions) -> None:
        self.name, self.runtime_folder = name, folder
        self.environment = {**window_options.environment, "STARCODER_LS_RUNTIME": str(folder)}
        self.ledger, self._options = RequestLedger(), options
        shared = WindowOptions(options.serve_command, self.environment, window_options.sources, window_options.adapters)
        paces_s = {"human": HUMAN_S, "fast": FAST_S, "other": HUMAN_S}
        self.windows = [
            Window(f"{name} {kind}", shared, self.ledger, self._rng(kind), pace_s) for kind, pace_s in paces_s.items()
        ]
        spares = name == "steady"
        disturbed = self.windows[2:] if spares else self.windows
        self.injector = FaultInjector(
            disturbed, folder, self.ledger, self._rng("faults"), options.fault_interval_s, spares
        )

    def _rng(self, name: str) -> random.Random:
        return random.Random(f"{self._options.seed} {self.name} {name}")

    def set_resting(self, is_resting: bool) -> None:
        """At rest no window has anything open, and no fault happens."""
        self.injector.is_paused = is_resting
        for window in self.windows:
            window.is_resting = is_resting

    def record_samples(self, samples: SampleLog, time_s: float) -> None:
        for process_id in daemon_ids(self.runtime_folder):
            samples.record(f"{self.name} daemon", process_id, time_s)
        for window in self.windows:
            if (process := window.process) is not None:
                samples.record(window.name, process.pid, time_s)


async def run(options: Options, folder: Path, console: Console) -> dict[str, Any]:
    """Soak for ``options.duration_s`` with files in ``folder``, whose path must be short, and return the report."""
    environment = private_environment(folder)
    window_options = WindowOptions((), environment, copy_sources(folder / "work"), make_adapters(folder, options))
    groups = [Group(name, folder / name[:1], options, window_options) for name in ("steady", "faults")]
    samples, rested, stop = SampleLog(), SampleLog(), asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        for group in groups:
            for window in group.windows:
                tasks.create_task(window.run(stop))
        disturbing = [asyncio.create_task(group.injector.run()) for group in groups]
        disturbing.append(asyncio.create_task(rest_regularly(groups[0], rested, options)))
        await observe(groups, samples, options, console)
        for task in disturbing:
            task.cancel()
        await asyncio.gather(*disturbing, return_exceptions=True)
        stop.set()
        console.print("ending the windows")
    for group in groups:
        group.ledger.close()
    left_over = [process for group in groups for process in stop_daemons(group.environment)]
    ledgers = {group.name: group.ledger for group in groups}
    parameters = {"hours": options.duration_s / 3600, "seed": options.seed}
    return report.build(ledgers, samples, rested, left_over, options.limits, parameters)


async def rest_regularly(group: Group, rested: SampleLog, options: Options) -> None:
    """Let ``group`` rest again and again, with a sample at the end of each rest, until the task is cancelled."""
    while True:
        await asyncio.sleep(options.rest_interval_s)
        group.set_resting(True)
        try:
            await asyncio.sleep(options.rest_s)
            await asyncio.to_thread(group.record_samples, rested, group.ledger.now_s())
        finally:
            group.set_resting(False)


async def observe(groups: Sequence[Group], samples: SampleLog, options: Options, console: Console) -> None:
    """Take samples until the run is over, and print a line every few minutes."""
    ledger, printed_s = groups[0].ledger, 0.0
    while True:
        now_s = ledger.now_s()
        for group in groups:
            await asyncio.to_thread(group.record_samples, samples, now_s)
            group.ledger.find_overdue()
        results = min(group.ledger.outcomes["result"] for group in groups)
        if now_s >= options.duration_s and results >= options.min_results:
            return
        if now_s - printed_s > PROGRESS_INTERVAL_S:
            printed_s = now_s
            console.print(f"{now_s / 60:.0f} min: {describe_progress(groups, samples)}", markup=False)
        await asyncio.sleep(options.sample_interval_s)


def describe_progress(groups: Sequence[Group], samples: SampleLog) -> str:
    parts = []
    for group in groups:
        daemon_mb = [f"{points[-1].anonymous / 1e6:.0f}" for (name, _), points in samples.by_process.items()
                     if name == f"{group.name} daemon"][-1:]  # fmt: skip
        ledger = group.ledger
        parts.append(
            f"{group.name}: {sum(ledger.sent_by_method.values())} requests, {ledger.open_count} open, "
            f"{ledger.unanswered_count} unanswered, {group.injector.count} faults, daemon {''.join(daemon_mb)} MB"
        )
    return "; ".join(parts)


def private_environment(folder: Path) -> dict[str, str]:
    """An environment in which servers do not find the settings, statistics and daemon of the user."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("STARCODER_LS_", "XDG_"))}
    home = folder / "home"
    home.mkdir()
    paths = {f"XDG_{kind}_HOME": str(home / kind.lower()) for kind in ("CONFIG", "STATE", "CACHE", "DATA")}
    return {**kept, **paths, "HOME": str(home), "STARCODER_LS_STATE": str(home / "starcoder-ls")}


def copy_sources(folder: Path) -> list[Path]:
    """A workspace of files of Python's standard library."""
    folder.mkdir()
    originals = sorted(Path(textwrap.__file__).parent.glob("*.py"))
    chosen = [path for path in originals if 1_000 < path.stat().st_size < MAX_SOURCE_BYTES][:SOURCE_FILES]
    return [Path(shutil.copy(path, folder)) for path in chosen]


def make_adapters(folder: Path, options: Options) -> list[Path]:
    folders = [folder / f"adapter-{seed}" for seed in range(2)] if options.has_adapters else []
    for seed, adapter in enumerate(folders):
        subprocess.run([sys.executable, str(ADAPTER_SCRIPT), str(adapter), str(seed)], check=True, capture_output=True)
    return folders


def stop_daemons(environment: Mapping[str, str]) -> list[str]:
    """Stop the daemons of a group. Returns descriptions of the processes that are left, which are killed."""
    subprocess.run([*COMMAND, "stop"], env=dict(environment), capture_output=True, check=False)
    name = "STARCODER_LS_RUNTIME"
    found = [psutil.Process(process_id) for process_id in processes_with_variable(name, environment[name])]
    _, left = psutil.wait_procs(found, END_TIMEOUT_S)
    descriptions = []
    for process in left:
        with contextlib.suppress(psutil.Error):
            descriptions.append(f"process {process.pid}: {' '.join(process.cmdline())}")
            process.kill()
    return descriptions


def draw_plots(result: Mapping[str, Any], file: Path, console: Console) -> None:
    try:
        from lib.soak import plots
    except ModuleNotFoundError:
        console.print("No plots: install the extra `soak`, which has matplotlib.")
        return
    plots.draw(result, file)
    console.print(f"plots: {file}", markup=False)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hours", type=float, default=2.0)
    parser.add_argument("--seed", type=int, default=None, help="default: a random one, which is printed")
    parser.add_argument("--report", type=Path, default=None, help="folder for soak.json and soak.png")
    arguments = parser.parse_args()
    seed = random.SystemRandom().randrange(10**6) if arguments.seed is None else arguments.seed
    folder = arguments.report or ROOT / ".cache" / "soak" / str(seed)
    console = Console(highlight=False)
    console.print(f"seed {seed}, {arguments.hours:g} hours; the report comes into {folder}", markup=False)
    with tempfile.TemporaryDirectory(prefix="soak-", ignore_cleanup_errors=True) as name:
        result = asyncio.run(run(Options(arguments.hours * 3600, seed), Path(name), console))
    console.print(f"report: {report.save(result, folder)}", markup=False)
    draw_plots(result, folder / "soak.png", console)
    report.print_summary(result, console)
    return 1 if result["faults"] else 0


if __name__ == "__main__":
    sys.exit(main())
