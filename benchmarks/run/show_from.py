"""How many suggestions `inline_completion.show_from` hides, and what that costs, for simulated users.

    python benchmarks/run/show_from.py [OCCASIONS [USERS]]

Prints Markdown: for each probability, how many suggestions are shown and how many characters accepted compared with
showing all; how many `min_confidence` shows where as many characters are accepted; and the calibration error.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from lib.simulated_users import Occasion, Usage, sample_occasions, use
from starcoder_ls.completion.show_model import calibration_error

PROBABILITIES = (0.1, 0.15, 0.2, 0.25, 0.3)
CONFIDENCES = tuple(step / 20 for step in range(20))


@dataclass(frozen=True, slots=True)
class Comparison:
    """Shares of what showing all suggestions would have been; ``by_confidence`` at as many accepted characters."""

    shown: float
    accepted: float
    accepted_chars: float
    by_confidence: float
    calibration_error: float


def compare(users: Sequence[Sequence[Occasion]], probabilities: Sequence[float]) -> dict[float, Comparison]:
    """Results for each probability over all ``users``."""
    everything = _sum([use(user, 0.0, lambda _: 1.0) for user in users])
    by_confidence = [
        _sum([use(user, confidence, lambda features: float(features["confidence"])) for user in users])
        for confidence in CONFIDENCES
    ]
    comparisons = {}
    for probability in probabilities:
        usage = _sum([use(user, probability) for user in users])
        equal = [other.shown for other in by_confidence if other.accepted_chars >= usage.accepted_chars]
        comparisons[probability] = Comparison(
            usage.shown / everything.shown,
            usage.accepted / everything.accepted,
            usage.accepted_chars / everything.accepted_chars,
            min(equal) / everything.shown,
            calibration_error(usage.predictions),
        )
    return comparisons


def _sum(usages: Sequence[Usage]) -> Usage:
    total = Usage()
    for usage in usages:
        total.shown += usage.shown
        total.accepted += usage.accepted
        total.accepted_chars += usage.accepted_chars
        total.predictions += usage.predictions
    return total


def main() -> None:
    occasions, users = (int(value) for value in (*sys.argv[1:], *("2000", "5")[len(sys.argv) - 1 :]))
    compared = compare([sample_occasions(occasions, seed) for seed in range(1, users + 1)], PROBABILITIES)
    print("| `show_from` | shown | accepted | accepted characters | shown by confidence | calibration error |")
    print("|---|---|---|---|---|---|")
    for probability, row in compared.items():
        cells = (row.shown - 1, row.accepted - 1, row.accepted_chars - 1, row.by_confidence - 1)
        print(f"| {probability} | {' | '.join(f'{cell:+.1%}' for cell in cells)} | {row.calibration_error:.3f} |")


if __name__ == "__main__":
    main()
