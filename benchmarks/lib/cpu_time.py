"""CPU time of a process, which other programs on the machine do not change. Linux only."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Cost:
    """Milliseconds per token: by the clock, and of CPU time."""

    wall_ms: float
    cpu_ms: float


def cpu_ms(process: int | str = "self") -> float:
    """Return the CPU time of all threads of a process so far, from the nanosecond counters of the kernel."""
    tasks = Path(f"/proc/{process}/task").glob("*/schedstat")
    return sum(int(task.read_text(encoding="ascii").split()[0]) for task in tasks) / 1e6


@dataclass(frozen=True, slots=True)
class CostTimer:
    """Measures the cost since it was started."""

    started_s: float
    started_cpu_ms: float
    process: int | str

    @classmethod
    def start(cls, process: int | str = "self") -> CostTimer:
        return cls(time.perf_counter(), cpu_ms(process), process)

    def cost_per_token(self, tokens: int) -> Cost:
        wall_ms = (time.perf_counter() - self.started_s) * 1000
        return Cost(wall_ms / tokens, (cpu_ms(self.process) - self.started_cpu_ms) / tokens)
