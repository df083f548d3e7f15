"""How many GPUs a team needs: the table of docs/teams.md, computed from measured request rates and assumed devices.

    python benchmarks/run/capacity.py

Nothing runs here. ``Device`` and ``ServedModel`` say what is assumed.
"""

from __future__ import annotations

import argparse
import math
import sys
from dataclasses import dataclass

KEYS_PER_TYPIST_S, REQUESTS_PER_KEY = 0.7, 0.97
"""The keys of one who types at which the editor asks: assumed. What of them reaches the server, after the cache on the
own machine and with prefetches: measured by remote.py with the bundled model without n-grams (0.57 without prefetches).
Better models need less, since more of their suggestions are typed."""

TYPING_AT_PEAK = 0.3
"""Share of a team that types at the same moment: assumed. gateway.py runs 60 of 200."""

PROMPT_TOKENS, ANSWER_TOKENS, REUSED, MAX_LOAD = 1000, 15, 0.8, 0.5
"""``REUSED`` is below the 82 % that gateway.py measured. ``MAX_LOAD``: above half of the capacity, waiting grows."""

TEAMS = (1, 5, 20, 50, 100, 200, 500)
BYTES_OF_A_WEIGHT, FLOPS_OF_A_WEIGHT = 2, 2


@dataclass(frozen=True, slots=True)
class Device:
    """What of the data sheet's arithmetic and memory bandwidth is reached, and the time of a step beside reading."""

    flops: float
    bytes_per_s: float
    step_overhead_s: float


@dataclass(frozen=True, slots=True)
class ServedModel:
    """``kv_bytes`` are those of a token in 16 bits: 2 (K and V) x layers x KV heads x head size x 2 bytes."""

    name: str
    weights: float
    kv_bytes: int


H200 = Device(989e12 * 0.45, 4.8e12 * 0.7, 1.5e-3)
MODELS = (
    ServedModel("1B (StarCoderBase)", 1.1e9, 2 * 24 * 1 * 128 * 2),
    ServedModel("3B (StarCoder2)", 3.0e9, 2 * 30 * 2 * 128 * 2),
    ServedModel("7B (StarCoder2)", 7.2e9, 2 * 32 * 4 * 128 * 2),
    ServedModel("15B (StarCoder2)", 15.5e9, 2 * 40 * 4 * 128 * 2),
)
BATCH = 32


def demand(developers: int) -> float:
    """Requests per second at the peak; one developer alone types."""
    return max(developers * TYPING_AT_PEAK, 1.0) * KEYS_PER_TYPIST_S * REQUESTS_PER_KEY


def step_s(model: ServedModel, device: Device) -> float:
    """One step of a full batch reads all weights and the KV caches of its sequences."""
    cache_bytes = BATCH * model.kv_bytes * (PROMPT_TOKENS + ANSWER_TOKENS / 2)
    return (BYTES_OF_A_WEIGHT * model.weights + cache_bytes) / device.bytes_per_s + device.step_overhead_s


def prefill_s(model: ServedModel, device: Device, reused: float) -> float:
    """Reading the part of a prompt that is not in the prefix cache."""
    return FLOPS_OF_A_WEIGHT * model.weights * PROMPT_TOKENS * (1 - reused) / device.flops


def capacity(model: ServedModel, device: Device, reused: float = REUSED) -> float:
    """Requests per second that a device answers at full load."""
    return 1 / (prefill_s(model, device, reused) + ANSWER_TOKENS * step_s(model, device) / BATCH)


def devices(developers: int, model: ServedModel, device: Device, reused: float = REUSED) -> int:
    """Devices at MAX_LOAD, without a spare one."""
    return math.ceil(demand(developers) / (MAX_LOAD * capacity(model, device, reused)))


def answer_ms(model: ServedModel, device: Device) -> float:
    """Time of an answer whose batch is full, without waiting."""
    return (prefill_s(model, device, REUSED) + ANSWER_TOKENS * step_s(model, device)) * 1000


def table() -> str:
    """In Markdown."""
    names = [model.name for model in MODELS]
    rows = [["developers", "requests/s at the peak", *names], ["---"] * (len(names) + 2)]
    for team in TEAMS:
        counts = [f"{devices(team, model, H200)} ({devices(team, model, H200, 0.0)})" for model in MODELS]
        rows.append([str(team), f"{demand(team):.1f}", *counts])
    rows.append(["requests/s of one H200 at full load", "", *(f"{capacity(model, H200):.0f}" for model in MODELS)])
    rows.append(["time of an answer, ms", "", *(f"{answer_ms(model, H200):.0f}" for model in MODELS)])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def main() -> int:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    print(table())
    return 0


if __name__ == "__main__":
    sys.exit(main())
