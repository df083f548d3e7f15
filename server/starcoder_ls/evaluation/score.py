"""Scores a suggestion against the original text, and estimates means of such scores with 95 % intervals."""

from __future__ import annotations

import itertools
import keyword
import math
import re
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

_STRING = re.compile(r"""\"(?:\\.|[^"\\\n])*\"|'(?:\\.|[^'\\\n])*'|`[^`]*`""")
_NAME = re.compile(r"[^\W\d]\w*")
_KEYWORDS_OF_OTHER_LANGUAGES = """
abstract auto bool boolean byte case catch char const default defer delete do double enum export extends extern
false final float fn func function go goto impl implements int interface let long match mod mut namespace new nil
null package private protected pub public select short signed sizeof static struct super switch template this throw
throws trait true type typedef typename union unsigned use using var virtual void volatile where
"""
_KEYWORDS = frozenset(keyword.kwlist) | frozenset(_KEYWORDS_OF_OTHER_LANGUAGES.split())
"""Of the common languages together: a keyword of one language is rarely an identifier in another."""


def is_exact(suggestion: str, truth: str) -> bool:
    """Whether the whole texts are equal, without the blanks around them."""
    return suggestion.strip() == truth.strip()


def first_line(text: str) -> str:
    """The first line that is not blank, without the blanks around it."""
    return next((line.strip() for line in text.split("\n") if line.strip()), "")


def is_first_line_match(suggestion: str, truth: str) -> bool:
    """Whether the first lines that are not blank are equal, without the blanks around them."""
    return first_line(suggestion) == first_line(truth)


def edit_similarity(suggestion: str, truth: str) -> float:
    """From 0 to 1: twice the matching characters over all characters of the stripped texts (difflib's ratio)."""
    return SequenceMatcher(None, suggestion.strip(), truth.strip(), autojunk=False).ratio()


def identifiers(text: str) -> frozenset[str]:
    """The names outside strings that are not keywords."""
    return frozenset(_NAME.findall(_STRING.sub(" ", text))) - _KEYWORDS


def identifier_f1(suggestion: str, truth: str) -> float | None:
    """F1 of the sets of names, as in CrossCodeEval (Ding et al. 2023); None if the original has no names."""
    expected, found = identifiers(truth), identifiers(suggestion)
    return 2 * len(expected & found) / (len(expected) + len(found)) if expected else None


def count_kept_chars(suggestion: str, truth: str) -> int:
    """How many characters stay if a user accepts the suggestion and deletes from the first wrong character on."""
    pairs = itertools.takewhile(lambda pair: pair[0] == pair[1], zip(suggestion, truth, strict=False))
    return sum(1 for _ in pairs)


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value with the ends of its 95 % interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{100 * self.value:.1f} ({100 * self.low:.1f}–{100 * self.high:.1f})"


def estimate_proportion(successes: Sequence[bool]) -> Estimate:
    """The share of True with Wilson's interval, which is valid for small shares too."""
    count, z = len(successes), 1.96
    if not count:
        return Estimate(0.0, 0.0, 1.0)
    p = sum(successes) / count
    centre = (p + z * z / (2 * count)) / (1 + z * z / count)
    half = z * math.sqrt(p * (1 - p) / count + z * z / (4 * count * count)) / (1 + z * z / count)
    return Estimate(p, max(0.0, centre - half), min(1.0, centre + half))


def estimate_mean(values: Sequence[float]) -> Estimate:
    """The mean with Student's interval; for a single value the interval is empty."""
    value, count = (statistics.fmean(values) if values else 0.0), len(values)
    half = _student_quantile(count - 1) * statistics.stdev(values) / math.sqrt(count) if count > 1 else 0.0
    return Estimate(value, value - half, value + half)


def _student_quantile(freedom: int) -> float:
    """The two-sided 95 % point, by Fisher's expansion around the normal one (Abramowitz and Stegun, 26.7.5)."""
    z = 1.96
    return z + (z**3 + z) / (4 * freedom) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)


def estimate_quantile(values: Sequence[float], share: float) -> Estimate:
    """The value that ``share`` of the values do not exceed, with an interval of order statistics.

    Valid for any distribution (Conover, Practical Nonparametric Statistics, 3.2, with the normal approximation of the
    binomial distribution).
    """
    ordered, count = sorted(values), len(values)
    if not count:
        return Estimate(0.0, 0.0, 0.0)
    half = 1.96 * math.sqrt(count * share * (1 - share))
    ranks = (count * share, count * share - half, count * share + half + 1)
    return Estimate(*(ordered[min(count, max(1, math.ceil(rank))) - 1] for rank in ranks))
