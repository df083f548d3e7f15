"""The engine on a GPU, in the shapes of StarCoderBase with random weights.

    PYTHONPATH=server python benchmarks/gpu/run.py --shapes 1B 7B --into gpu.json

All compared times are measured in the same run. A part that fails or exceeds its time is reported and skipped; the
results are saved after each part. No checkpoint is needed; `--device cpu --shapes tiny` tests the script without a GPU.
"""

from __future__ import annotations

import argparse
import functools
import json
import logging
import platform
import signal
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pass_parts
import peer_parts
import request_parts
import torch
import transformers
from bench import Bench
from measure import Table, measure_bandwidth, synchronize
from models import QUANTIZATIONS, SHAPES, free_memory, load_quantized, load_random

from starcoder_ls.engine.generation.loaded_model import LoadedModel

PARTS: dict[str, Callable[[Bench], Table]] = {
    "graphs": pass_parts.measure_graphs,
    "decode": pass_parts.measure_decode,
    "verify": pass_parts.measure_verification,
    "attention": pass_parts.measure_attention,
    "speculation": request_parts.measure_speculation,
    "editors": request_parts.measure_editors,
    "adapters": pass_parts.measure_adapters,
    "cancel": request_parts.measure_cancellation,
    "generate": peer_parts.measure_generate,
}
COMPILED_PARTS: dict[str, Callable[[Bench], Table]] = {
    "generate, compiled": peer_parts.measure_generate_compiled,
    "compiled graphs": peer_parts.measure_compiled_graphs,
}
MIN_PART_S = 5.0


class PartTimeout(Exception):
    """A part took longer than it may."""


@dataclass
class Run:
    """The options of this run, and its results by shape and part."""

    device: torch.device
    is_quick: bool
    end_s: float
    part_s: float
    into: Path | None
    results: dict[str, Any] = field(default_factory=dict)

    def measure(self, shape: str, part: str, measure: Callable[[], Table]) -> None:
        """Print and save the table of a part, or the reason why there is none."""
        remaining_s = self.end_s - time.monotonic()
        if remaining_s < MIN_PART_S:
            self.print(f"\n{shape}, {part}: skipped, no time is left")
            return
        started_s = time.monotonic()
        result = self.results.setdefault(shape, {}).setdefault(part, {})
        try:
            with time_limit(min(remaining_s, self.part_s)):
                table = measure()
            elapsed_s = round(time.monotonic() - started_s, 1)
            result |= {"header": table.header, "rows": table.rows, "took_s": elapsed_s}
            self.print(f"\n### {shape}, {part} ({elapsed_s} s)\n\n{table.to_markdown()}")
        except Exception as error:  # noqa: BLE001 - the other parts are still of use
            result["failed"] = f"{type(error).__name__}: {error}".partition("\n")[0]
            self.print(f"\n{shape}, {part}: no result. {result['failed']}\n{format_last_frames(error)}")
        self.save()

    def save(self) -> None:
        if self.into is not None:
            self.into.parent.mkdir(parents=True, exist_ok=True)
            self.into.write_text(json.dumps(self.results, indent=1), encoding="utf-8")

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


def measure_shape(shape: str, run: Run, options: argparse.Namespace) -> None:
    loaded_models: list[LoadedModel] = []

    def measure_load() -> Table:
        started_s = time.monotonic()
        loaded_models.append(load_random(shape, run.device))
        synchronize(run.device)
        elapsed_s = time.monotonic() - started_s
        return Table(["weights, GB", "ready after, s"], [[loaded_models[0].bytes / 1e9, elapsed_s]])

    run.measure(shape, "model", measure_load)
    if not loaded_models:
        return
    bench = Bench(loaded_models.pop(), run.device, run.is_quick, run.results.get("copy_gb_per_s", 0.0))
    for name, measure in (PARTS | (COMPILED_PARTS if options.compile else {})).items():
        if not options.parts or name in options.parts:
            run.measure(shape, name, functools.partial(measure, bench))
    run.results[shape]["goals"] = bench.goals
    del bench
    free_memory()


def measure_quantized(shape: str, quantization: str, run: Run) -> None:
    def measure() -> Table:
        loaded = load_quantized(shape, quantization, run.device, Path(f".cache/gpu-{shape}"))
        copy_gb_per_s = run.results.get("copy_gb_per_s", 0.0)
        return pass_parts.measure_decode(Bench(loaded, run.device, run.is_quick, copy_gb_per_s))

    run.measure(shape, f"decode, {quantization}", measure)
    free_memory()


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--shapes", nargs="+", choices=list(SHAPES), default=["1B", "7B"])
    parser.add_argument("--parts", nargs="+", default=[], help="only these")
    parser.add_argument("--quantized", nargs="*", choices=QUANTIZATIONS, default=[], help="then decode with these")
    parser.add_argument("--quantized-shape", choices=list(SHAPES), default="7B", help="saved in .cache first")
    parser.add_argument("--compile", action="store_true", help="also compare with torch.compile, which takes minutes")
    parser.add_argument("--quick", action="store_true", help="fewer runs")
    parser.add_argument("--minutes", type=float, default=9.0, help="limit of all parts together")
    parser.add_argument("--part-minutes", type=float, default=2.0, help="limit of each part")
    parser.add_argument("--into", type=Path, help="JSON file for the results")
    return parser.parse_args()


def main() -> None:
    options = parse_options()
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    logging.basicConfig(level=logging.WARNING)
    device = torch.device("cuda", 0) if options.device == "cuda" else torch.device("cpu")
    end_s = time.monotonic() + options.minutes * 60
    run = Run(device, options.quick, end_s, options.part_minutes * 60, options.into)
    run.results["machine"] = describe_machine(device)
    run.print(run.results["machine"])
    run.measure("memory", "bandwidth", lambda: measure_bandwidth(device, run.results))
    for shape in options.shapes:
        measure_shape(shape, run, options)
    for quantization in options.quantized:
        measure_quantized(options.quantized_shape, quantization, run)
    run.print("\n### Goals\n")
    for shape in options.shapes:
        for goal, value in run.results.get(shape, {}).get("goals", {}).items():
            run.print(f"- {shape}, {goal}: {value:.2f}")
    run.save()


if __name__ == "__main__":
    main()
