"""What a suggestion is worth against the text that stood there, and how sure a mean of such scores is.

Refuses to know where suggestions come from.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher


def first_line(text: str) -> str:
    """The first line with content, without the blanks around it."""
    return next((line.strip() for line in text.split("\n") if line.strip()), "")


def is_first_line_match(suggestion: str, truth: str) -> bool:
    return first_line(suggestion) == first_line(truth)


def edit_similarity(suggestion: str, truth: str) -> float:
    """0 to 1: twice the matching characters over all characters, of the stripped texts (difflib's ratio)."""
    return SequenceMatcher(None, suggestion.strip(), truth.strip(), autojunk=False).ratio()


@dataclass(frozen=True, slots=True)
class Mean:
    """A mean with its 95 % interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{100 * self.value:.1f} ({100 * self.low:.1f}–{100 * self.high:.1f})"


def share(successes: Sequence[bool]) -> Mean:
    """Wilson's interval, which holds for small shares too."""
    count, z = len(successes), 1.96
    if not count:
        return Mean(0.0, 0.0, 1.0)
    p = sum(successes) / count
    centre = (p + z * z / (2 * count)) / (1 + z * z / count)
    half = z * math.sqrt(p * (1 - p) / count + z * z / (4 * count * count)) / (1 + z * z / count)
    return Mean(p, max(0.0, centre - half), min(1.0, centre + half))


def mean(values: Sequence[float]) -> Mean:
    """The normal interval of a mean."""
    value = statistics.fmean(values) if values else 0.0
    half = 1.96 * statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else 0.0
    return Mean(value, value - half, value + half)
