"""Training steps with the operations for CPUs and with those of PyTorch and PEFT, one of each in turns.

    python benchmarks/run/training_steps.py FOLDER [STEPS]

Trains LoRA of rank 16 on the bundled model twice with each, on rows in two orders. Prints the medians of processor time
and time, the medians of the ratios, and the validation losses, which must not differ by more than those of two orders.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from starcoder_ls import settings
from starcoder_ls.engine.loading.progress import ignore_progress
from starcoder_ls.learning import blockwise_attention
from starcoder_ls.learning.finetuning import output_loss, training_base
from starcoder_ls.learning.finetuning.layer_training import LayerAdapter
from starcoder_ls.learning.finetuning.methods import build_trainable
from starcoder_ls.learning.finetuning.preparation import Options, Plan, prepare
from starcoder_ls.learning.finetuning.row_loss import measure_losses, training_loss
from starcoder_ls.learning.finetuning.slices import Slice
from starcoder_ls.learning.optimizer import Optimizer, Schedule

_ORDERS = (0, 1000)
"""The first row of a run."""
_VALIDATION_STEPS = 12


@contextmanager
def operations(are_for_cpus: bool) -> Iterator[None]:
    """Attention and loss as they are, or as PyTorch has them."""
    attention, can_compute = blockwise_attention.installed_in, output_loss.can_compute
    if not are_for_cpus:
        blockwise_attention.installed_in = lambda _model: nullcontext()
        output_loss.can_compute = lambda _layer: False
    try:
        yield
    finally:
        blockwise_attention.installed_in, output_loss.can_compute = attention, can_compute


@dataclass(slots=True)
class Run:
    plan: Plan
    are_for_cpus: bool
    first_row: int
    steps: int
    trainable: Any = None
    optimizer: Any = None
    cpu_s: list[float] = field(default_factory=list)
    wall_s: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        model = training_base.load_base(self.plan.checkpoint, self.plan.device, ignore_progress)
        file_type = training_base.file_type(self.plan.checkpoint)
        self.trainable = build_trainable("lora", model, self.plan.checkpoint, self.plan.rank, file_type)
        assert isinstance(self.trainable, LayerAdapter)
        for layer in [] if self.are_for_cpus else self.trainable.layers:
            del layer.forward
        self.optimizer = Optimizer(self.trainable.named_weights().items(), 0.0, self.plan.learning_rate, 0.0)

    def make_step(self, step: int) -> None:
        cpu_s, wall_s = time.process_time(), time.perf_counter()
        with operations(self.are_for_cpus):
            batch = self.plan.rows[Slice.TRAINING].batch(self.first_row + step)
            training_loss(self.trainable, batch)[0].backward()  # type: ignore[no-untyped-call]
        self.optimizer.step(Schedule(0.06 * self.steps, 0.5).factor(step, step / self.steps))
        self.cpu_s.append(time.process_time() - cpu_s)
        self.wall_s.append(time.perf_counter() - wall_s)

    def describe(self) -> str:
        with operations(self.are_for_cpus):
            losses = measure_losses(self.trainable, self.plan.rows[Slice.VALIDATION], _VALIDATION_STEPS)
        cpu_s, wall_s = statistics.median(self.cpu_s), statistics.median(self.wall_s)
        name = "for CPUs" if self.are_for_cpus else "general"
        times = f"{1000 * cpu_s:.0f} ms of processor time, {1000 * wall_s:.0f} ms"
        return f"{name}, from row {self.first_row}: {times}; loss {losses.loss:.3f}, middles {losses.middle_loss:.3f}"


def main() -> None:
    folder, steps = Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 70
    plan = prepare(Options([folder]), settings.load(), ignore_progress)
    pairs = [tuple(Run(plan, are_for_cpus, row, steps) for are_for_cpus in (False, True)) for row in _ORDERS]
    runs = [run for pair in pairs for run in pair]
    for step in range(steps):
        for run in runs if step % 2 else runs[::-1]:
            run.make_step(step)
    for general, for_cpus in pairs:
        print(general.describe(), for_cpus.describe(), sep="\n")
        ratios = [
            statistics.median(new / old for old, new in zip(*times, strict=True))
            for times in ((general.cpu_s, for_cpus.cpu_s), (general.wall_s, for_cpus.wall_s))
        ]
        print(f"ratios: processor time {ratios[0]:.2f}, time {ratios[1]:.2f}")


if __name__ == "__main__":
    main()
