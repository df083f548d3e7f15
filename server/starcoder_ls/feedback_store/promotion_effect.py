"""Compares what became of suggestions before and after a promotion, and says whether users keep fewer of them since.

The shares are compared within each language and weighted by the suggestions after the promotion, so that another
mixture of languages is no difference. Suggestions of one file and day depend on each other; these groups are the units.
While the days of the watch last, the comparison is made again and again, and only three standard errors count
(Haybittle and Peto); at the end two do.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from starcoder_ls.feedback_store.promotions import Promotion
from starcoder_ls.feedback_store.rows import FeedbackRow

MIN_OUTCOMES = 100
"""On each side. With 100 on both, a fall from 30 % to 15 % can be seen."""
MIN_LANGUAGE_OUTCOMES = 10
"""On each side: a language with fewer is left out."""
INTERIM_ERRORS, FINAL_ERRORS = 3.0, 1.96

_DAY_S = 86_400
_Groups = dict[tuple[str, int], list[int]]
"""File and day -> number of suggestions, and how many of them were kept."""


class State(enum.StrEnum):
    """What the feedback says so far."""

    WAITING = "waiting"
    """There are too few outcomes."""
    EQUAL = "equal"
    """No fall is shown."""
    WORSE = "worse"


@dataclass(frozen=True, slots=True)
class Effect:
    """``before`` and ``after`` are numbers of outcomes, ``kept_before`` and ``kept_after`` shares of these (that before
    weighted by the languages after). ``low`` and ``high`` are the ends of the 95 % interval of their difference."""

    promotion: Promotion
    state: State
    before: int
    after: int
    kept_before: float = 0.0
    kept_after: float = 0.0
    low: float = 0.0
    high: float = 0.0
    has_ended: bool = False

    @property
    def sentence(self) -> str:
        """The state in words, with what can be done."""
        name, days = self.promotion.adapter, f"{self.promotion.watch_days:g} days"
        if self.state is State.WAITING:
            ends = f"the {days} are over" if self.has_ended else f"watched until {self.promotion.watch_ends:%Y-%m-%d}"
            return (
                f"{name}: {self.after} outcomes of suggestions since the promotion and {self.before} in the {days} "
                f"before it; {MIN_OUTCOMES} each are needed to compare them ({ends})."
            )
        points = 100 * (self.kept_after - self.kept_before)
        figures = (
            f"{100 * self.kept_after:.0f} % of {self.after} suggestions were kept since the promotion, "
            f"{100 * self.kept_before:.0f} % of {self.before} in the {days} before it ({points:+.1f} points, 95 % "
            f"interval {100 * self.low:+.1f} to {100 * self.high:+.1f})"
        )
        if self.state is State.WORSE:
            return (
                f"{name} may have made suggestions worse: {figures}. `starcoder-ls train rollback {name}` withdraws it."
            )
        return f"{name}: {figures}; no fall is shown."


def compare(promotion: Promotion, rows: Iterable[FeedbackRow], now: datetime) -> Effect:
    """The effect of ``promotion``: the outcomes since it, beside those of as many days before it."""
    start_s, length_s = promotion.at.timestamp(), promotion.watch_days * _DAY_S
    sides: tuple[dict[str, _Groups], dict[str, _Groups]] = ({}, {})
    for row in rows:
        is_after = row.shown_at >= start_s
        if row.outcome == "hidden" or row.is_kept is None or abs(row.shown_at - start_s) > length_s:
            continue
        if is_after and not promotion.serves_as(row.adapter, row.model):
            continue
        group = (row.path_hash or row.id, int(row.shown_at // _DAY_S))
        counts = sides[is_after].setdefault(row.language, {}).setdefault(group, [0, 0])
        counts[0] += 1
        counts[1] += row.is_kept
    before, after = ({language: _count(groups) for language, groups in side.items()} for side in sides)
    common = [
        language for language, count in after.items() if min(count, before.get(language, 0)) >= MIN_LANGUAGE_OUTCOMES
    ]
    totals = [sum(side[language] for language in common) for side in (before, after)]
    has_ended = now >= promotion.watch_ends
    if min(totals) < MIN_OUTCOMES:
        return Effect(promotion, State.WAITING, sum(before.values()), sum(after.values()), has_ended=has_ended)
    weights = {language: after[language] / totals[1] for language in common}
    (kept_before, error_before), (kept_after, error_after) = (_weighted_share(side, weights) for side in sides)
    difference, error = kept_after - kept_before, math.hypot(error_before, error_after)
    is_worse = difference + (FINAL_ERRORS if has_ended else INTERIM_ERRORS) * error < 0
    low, high = difference - FINAL_ERRORS * error, difference + FINAL_ERRORS * error
    state = State.WORSE if is_worse else State.EQUAL
    return Effect(promotion, state, totals[0], totals[1], kept_before, kept_after, low, high, has_ended)


def utc_time(seconds: float) -> datetime:
    """From seconds since 1970, as the feedback store counts."""
    return datetime.fromtimestamp(seconds, UTC)


def _count(groups: _Groups) -> int:
    return sum(count for count, _ in groups.values())


def _weighted_share(by_language: Mapping[str, _Groups], weights: Mapping[str, float]) -> tuple[float, float]:
    """The share of kept suggestions and its standard error (ratio estimator over groups; Cochran, 6.3)."""
    share = variance = 0.0
    for language, weight in weights.items():
        groups = list(by_language[language].values())
        total = sum(count for count, _ in groups)
        kept = sum(kept for _, kept in groups) / total
        squares = sum((own_kept - kept * count) ** 2 for count, own_kept in groups)
        share += weight * kept
        variance += weight**2 * squares * len(groups) / (max(len(groups) - 1, 1) * total**2)
    return share, math.sqrt(variance)
