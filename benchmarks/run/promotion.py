"""How long the engine pauses when `train promote` and `train rollback` exchange an adapter of the bundled model.

    python benchmarks/run/promotion.py [--exchanges 20] [--rank 16]

A generation of the base runs all the time, as in another window. The pause is the gap between two of its tokens that
an exchange makes longer, and the processor time of the engine's thread in the exchange, which other programs change
little. The first exchange is the first in the process.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import sys
import tempfile
import threading
import time
from contextlib import aclosing
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))  # for lib

from starcoder_ls.engine.adapters.fingerprint import compute_fingerprint
from starcoder_ls.engine.adapters.resident_adapters import ResidentAdapters
from starcoder_ls.engine.loading.load_model import load_unquantized
from starcoder_ls.engine.loading.progress import ignore_progress
from starcoder_ls.engine.loading.resolve import resolve_checkpoint
from starcoder_ls.engine.local_engine import LocalEngine
from starcoder_ls.generation import Phase, Priority, Request, SpecialToken
from starcoder_ls.learning.finetuning.methods import build_trainable
from starcoder_ls.learning.finetuning.trainable import BaseIdentity
from starcoder_ls.settings import Adapter, Model

PROMPT = (
    SpecialToken("<fim_prefix>"), "def total(prices):\n    result = 0\n    for price in prices:\n        ",
    SpecialToken("<fim_suffix>"), "\n    return result\n", SpecialToken("<fim_middle>"),
)  # fmt: skip


def write_adapter(folder: Path, rank: int, seed: int) -> Path:
    """A LoRA adapter of the bundled model with random weights."""
    checkpoint = resolve_checkpoint(Model(), ignore_progress)
    model = load_unquantized(checkpoint, torch.float32, ignore_progress)
    trainable = build_trainable("lora", model, checkpoint, rank, torch.float32)
    for number, weight in enumerate(trainable.named_weights().values()):
        torch.nn.init.normal_(weight.data, std=0.01, generator=torch.Generator().manual_seed(seed + number))
    folder.mkdir()
    trainable.save(folder, BaseIdentity("bundled", compute_fingerprint(checkpoint)))
    return folder


class Generation:
    """Endless generations of the base, whose tokens have times."""

    def __init__(self, engine: LocalEngine) -> None:
        self._engine, self.token_times_s = engine, list[float]()

    async def run(self) -> None:
        while True:
            request = Request(PROMPT, 400, priority=Priority.COMPLETION)
            async with aclosing(self._engine.stream(request)) as chunks:
                async for chunk in chunks:
                    self.token_times_s += [time.perf_counter()] * bool(chunk.token_ids)

    def longest_interval_ms(self, start_s: float, end_s: float) -> float:
        """Of the gaps between tokens that overlap with this time."""
        intervals = zip(self.token_times_s, self.token_times_s[1:], strict=False)
        return (
            max((later - earlier for earlier, later in intervals if later >= start_s and earlier <= end_s), default=0)
            * 1e3
        )


def record_exchange_times(times_ms: list[float]) -> None:
    """Let ``ResidentAdapters.add`` append the processor time that its thread used."""
    original = ResidentAdapters.add

    def add(self: ResidentAdapters, *arguments: object, **options: object) -> object:
        started_s = time.thread_time()
        try:
            return original(self, *arguments, **options)  # type: ignore[arg-type]
        finally:
            times_ms.append((time.thread_time() - started_s) * 1e3)

    ResidentAdapters.add = add  # type: ignore[method-assign, assignment]


async def measure(engine: LocalEngine, folders: list[Path], exchanges: int) -> tuple[list[float], list[float]]:
    """The longest gap between tokens in each exchange, and in as long a time without one, in milliseconds."""
    generation = Generation(engine)
    running = asyncio.create_task(generation.run())
    with_exchange, without = [], []
    for number in range(exchanges):
        await asyncio.sleep(0.3)
        start_s = time.perf_counter()
        await engine.attach("own", Adapter(path=str(folders[number % 2]), tasks=("completion",)))
        await asyncio.sleep(0.05)
        end_s = time.perf_counter()
        await asyncio.sleep(end_s - start_s)
        with_exchange.append(generation.longest_interval_ms(start_s, end_s))
        without.append(generation.longest_interval_ms(end_s, time.perf_counter()))
    running.cancel()
    return with_exchange, without


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--exchanges", type=int, default=20)
    parser.add_argument("--rank", type=int, default=16)
    options = parser.parse_args()
    thread_ms: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        folders = [write_adapter(Path(folder, str(seed)), options.rank, 1000 * seed) for seed in (1, 2)]
        record_exchange_times(thread_ms)
        engine, is_ready = LocalEngine(Model()), threading.Event()
        engine.subscribe(lambda status: is_ready.set() if status.phase is Phase.READY else None)
        engine.start()
        is_ready.wait()
        thread_ms.clear()  # the adapters that come with the model
        with_exchange, without = asyncio.run(measure(engine, folders, options.exchanges))
        engine.close()
    for name, values in (
        ("processor time of the engine's thread", thread_ms),
        ("longest gap between tokens with an exchange", with_exchange),
        ("the same without", without),
    ):
        print(f"{name}, ms: first {values[0]:.1f}, median {statistics.median(values):.1f}, most {max(values):.1f}")
    print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors")


if __name__ == "__main__":
    main()
