"""Timing on a device, tables of results, and the source texts that prompts are cut from."""

from __future__ import annotations

import random
import statistics
import sysconfig
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from starcoder_ls.text_tokens.tokenizer import Tokenizer

MODULES = ("argparse", "dataclasses", "difflib", "inspect", "optparse", "pickle", "subprocess", "textwrap")
"""Modules of the standard library whose sources are the prompts."""

WARMUP_RUNS = 2


@dataclass
class Table:
    """The result of a part."""

    header: list[str]
    rows: list[list[Any]]

    def to_markdown(self) -> str:
        lines = [self.header, ["---"] * len(self.header), *self.rows]
        return "\n".join("| " + " | ".join(format_cell(cell) for cell in line) + " |" for line in lines)


def format_cell(cell: Any) -> str:
    if not isinstance(cell, float):
        return str(cell)
    return f"{cell:,.0f}" if abs(cell) >= 1000 else f"{cell:.3g}"


def synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def median_ms(device: torch.device, function: Callable[[], object], runs: int) -> float:
    """Return the median time of single runs, each of which is waited for, after ``WARMUP_RUNS``."""
    elapsed_ms = []
    for _ in range(runs + WARMUP_RUNS):
        synchronize(device)
        started_s = time.perf_counter()
        function()
        synchronize(device)
        elapsed_ms.append((time.perf_counter() - started_s) * 1000)
    return statistics.median(elapsed_ms[WARMUP_RUNS:])


def measure_bandwidth(device: torch.device, results: dict[str, Any]) -> Table:
    """Measure a copy, whose bytes count as read and as written, and a sum; both are stored in ``results``."""
    count = (1 << 30) if device.type == "cuda" else (1 << 22)
    values = torch.randn(count, device=device)
    other = torch.empty_like(values)
    copy_ms = median_ms(device, lambda: other.copy_(values), 10)
    sum_ms = median_ms(device, lambda: values.sum(), 10)
    results["copy_gb_per_s"] = 2 * values.nbytes / copy_ms / 1e6
    results["read_gb_per_s"] = values.nbytes / sum_ms / 1e6
    return Table(["copy, GB/s", "sum, GB/s"], [[results["copy_gb_per_s"], results["read_gb_per_s"]]])


def read_module_source(module: str) -> str:
    return (Path(sysconfig.get_paths()["stdlib"]) / f"{module}.py").read_text(encoding="utf-8")


def sample_prompts(
    tokenizer: Tokenizer, count: int, new_tokens: int, max_tokens: int
) -> Iterator[tuple[str, list[int]]]:
    """Yield prompts that end at a line of real code, and the ids of prompt and true continuation.

    Prompts that exceed ``max_tokens`` together with ``new_tokens`` are skipped.
    """
    rng = random.Random(0)
    for number in range(count):
        lines = read_module_source(MODULES[number % len(MODULES)]).splitlines(keepends=True)
        line = rng.randrange(60, len(lines) - 40)
        prompt, continuation = "".join(lines[line - 50 : line]), "".join(lines[line : line + 30])
        ids = tokenizer.encode([prompt])
        if len(ids) + new_tokens < max_tokens:
            yield prompt, ids + tokenizer.encode([continuation])
