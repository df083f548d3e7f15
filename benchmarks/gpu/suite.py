"""Runs the parts of the GPU benchmark, each within its time, and saves the results after each."""

from __future__ import annotations

import argparse
import functools
import json
import logging
import platform
import signal
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import long_run_parts
import pass_parts
import peer_parts
import plan
import request_parts
import torch
import transformers
from bench import Bench
from goals import Goal, render_svg
from measure import Table, measure_bandwidth, synchronize
from models import QUANTIZATIONS, SHAPES, free_memory, load_quantized, load_random, model_bytes

PARTS: dict[str, Callable[[Bench], Table]] = {
    "graphs": pass_parts.measure_graphs,
    "decode": pass_parts.measure_decode,
    "prefill": long_run_parts.measure_prefill,
    "cancel": request_parts.measure_cancellation,
    "verify": pass_parts.measure_verification,
    "adapters": pass_parts.measure_adapters,
    "editors": request_parts.measure_editors,
    "steady": long_run_parts.measure_long_run,
    "speculation": request_parts.measure_speculation,
    "attention": pass_parts.measure_attention,
    "int4": pass_parts.measure_int4,
    "fused": peer_parts.measure_fused,
    "generate": peer_parts.measure_generate,
}
MIN_PART_S = 5.0
LOAD_LIMIT_S = 120.0


class PartTimeout(Exception):
    """A part took longer than it may."""


@dataclass
class Run:
    """The options of this run, and its results by shape and part. ``end_s``: when no further part begins."""

    device: torch.device
    is_quick: bool
    end_s: float
    limit_factor: float
    into: Path | None
    results: dict[str, Any] = field(default_factory=dict)
    benches: dict[str, Bench] = field(default_factory=dict)

    def measure(self, shape: str, part: str, limit_s: float, measure: Callable[[], Table]) -> None:
        """Print and save the table of a part, or the reason why there is none."""
        remaining_s = self.end_s - time.monotonic()
        if remaining_s < MIN_PART_S:
            self.print(f"\n{shape}, {part}: skipped, no time is left")
            return
        started_s = time.monotonic()
        result = self.results.setdefault(shape, {}).setdefault(part, {})
        try:
            with time_limit(min(remaining_s, limit_s * self.limit_factor)):
                table = measure()
            elapsed_s = round(time.monotonic() - started_s, 1)
            result |= {"header": table.header, "rows": table.rows, "took_s": elapsed_s}
            self.print(f"\n### {shape}, {part} ({elapsed_s} s)\n\n{table.to_markdown()}")
        except Exception as error:  # noqa: BLE001 - the other parts are still of use
            result["failed"] = f"{type(error).__name__}: {error}".partition("\n")[0]
            self.print(f"\n{shape}, {part}: no result. {result['failed']}\n{format_last_frames(error)}")
        self.save()

    def bench(self, shape: str) -> Bench | None:
        """The model of ``shape``, loaded at its first use; others are dropped if there is no room. None if it cannot
        be loaded."""
        if shape not in self.benches and "model" not in self.results.get(shape, {}):
            if self.device.type == "cuda" and torch.cuda.mem_get_info(self.device)[0] < 2 * model_bytes(shape):
                self.benches.clear()
                free_memory()
            self.measure(shape, "model", LOAD_LIMIT_S, functools.partial(self._load, shape))
        return self.benches.get(shape)

    def _load(self, shape: str) -> Table:
        started_s = time.monotonic()
        loaded = load_random(shape, self.device)
        synchronize(self.device)
        elapsed_s = time.monotonic() - started_s
        copy_gb_per_s = self.results.get("copy_gb_per_s", 0.0)
        self.benches[shape] = Bench(loaded, self.device, self.is_quick, copy_gb_per_s, shape)
        return Table(
            ["weights, GB", "ready after, s", "chunk, tokens"],
            [[loaded.bytes / 1e9, elapsed_s, loaded.runner.chunk_tokens]],
        )

    def goals(self) -> dict[str, Goal]:
        """All goals that were measured, with the shape before each."""
        return {
            f"{shape}: {name}": Goal.from_json(stored)
            for shape, parts in self.results.items()
            if isinstance(parts, dict)
            for name, stored in parts.get("goals", {}).items()
        }

    def save(self) -> None:
        """Write the results, and the picture of the goals beside them."""
        for shape, bench in self.benches.items():
            self.results[shape]["goals"] = {name: goal.to_json() for name, goal in bench.goals.items()}
        if self.into is not None:
            self.into.parent.mkdir(parents=True, exist_ok=True)
            self.into.write_text(json.dumps(self.results, indent=1), encoding="utf-8")
            self.into.with_suffix(".svg").write_text(
                render_svg(self.results["machine"], self.goals()), encoding="utf-8"
            )

    def print(self, text: str) -> None:
        print(text, flush=True)


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise PartTimeout in the block after ``seconds``, between two Python instructions."""

    def on_alarm(_signal: int, _frame: Any) -> None:
        raise PartTimeout(f"it took more than {seconds:.0f} s")

    before = signal.signal(signal.SIGALRM, on_alarm)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def format_last_frames(error: Exception) -> str:
    frames = traceback.extract_tb(error.__traceback__)[-4:]
    return "".join(f"  {Path(frame.filename).name}:{frame.lineno} {frame.name}\n" for frame in frames)


def describe_machine(device: torch.device) -> str:
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or platform.machine()
    libraries = f"torch {torch.__version__}, transformers {transformers.__version__}"
    return f"{name}, Python {platform.python_version()}, {libraries}"


def measure_quantized(shape: str, kind: str, run: Run) -> None:
    def measure() -> Table:
        loaded = load_quantized(shape, kind, run.device, Path(f".cache/gpu-{shape}"))
        copy_gb_per_s = run.results.get("copy_gb_per_s", 0.0)
        return pass_parts.measure_decode(Bench(loaded, run.device, run.is_quick, copy_gb_per_s, shape))

    run.measure(shape, f"decode, {kind}", LOAD_LIMIT_S, measure)
    free_memory()


def parse_options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="The engine on a GPU; docs/gpu.md")
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--shapes", nargs="+", choices=list(SHAPES), default=["7B", "1B"], help="by importance")
    parser.add_argument("--parts", nargs="+", choices=list(PARTS), default=[], help="only these")
    parser.add_argument("--quantized", nargs="*", choices=QUANTIZATIONS, default=[], help="then decode with these")
    parser.add_argument("--quantized-shape", choices=list(SHAPES), default="7B", help="saved in .cache first")
    parser.add_argument("--quick", action="store_true", help="fewer runs")
    parser.add_argument("--minutes", type=float, default=9.0, help="limit of all parts together")
    parser.add_argument("--limit-factor", type=float, default=1.0, help="multiplies the limit of each part")
    parser.add_argument("--into", type=Path, help="JSON file for the results; the picture is written beside it")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse_options(arguments)
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    logging.basicConfig(level=logging.WARNING)
    device = torch.device("cuda", 0) if options.device == "cuda" else torch.device("cpu")
    if device.type == "cpu":
        torch.set_num_threads(1)  # the tiny model is faster on one
    end_s = time.monotonic() + options.minutes * 60
    run = Run(device, options.quick, end_s, options.limit_factor, options.into)
    run.results["machine"] = describe_machine(device)
    run.print(run.results["machine"])
    run.measure("memory", "bandwidth", 60.0, lambda: measure_bandwidth(device, run.results))
    for shape, part in plan.ordered(options.shapes, options.parts):
        bench = run.bench(shape)
        if bench is not None:
            run.measure(shape, part.name, part.limit_s, functools.partial(PARTS[part.name], bench))
    run.benches.clear()
    free_memory()
    for kind in options.quantized:
        measure_quantized(options.quantized_shape, kind, run)
    run.print("\n### Goals\n")
    for name, goal in run.goals().items():
        bound = "at most" if goal.is_limit else "at least"
        run.print(f"- {'reached' if goal.share >= 1 else 'missed '} {name}: {goal.value:.3g} ({bound} {goal.goal:g})")
    run.save()
