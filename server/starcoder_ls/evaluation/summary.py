"""Summarizes the scores of many holes as figures with intervals, by kind of hole and by language.

Decides which figures there are and what they are called.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from starcoder_ls.evaluation import score
from starcoder_ls.evaluation.holes import SYNTAX_KINDS
from starcoder_ls.evaluation.results import ScoredHole
from starcoder_ls.evaluation.score import Estimate


@dataclass(frozen=True, slots=True)
class Measure:
    """A score of a hole; ``value_of`` returns None if the hole has none.

    ``is_proportion``: the score is true or false. ``is_percent``: the score is from 0 to 1 and shown as per cent.
    """

    name: str
    meaning: str
    value_of: Callable[[ScoredHole], float | None]
    is_proportion: bool = False
    is_percent: bool = True

    def estimate(self, holes: Sequence[ScoredHole]) -> Estimate:
        """The mean over ``holes`` with its interval."""
        values = [value for hole in holes if (value := self.value_of(hole)) is not None]
        if self.is_proportion:
            return score.estimate_proportion([value > 0 for value in values])
        estimate, top = score.estimate_mean(values), 1.0 if self.is_percent else math.inf
        if len(values) == 1:  # a single hole says nothing about others
            return Estimate(estimate.value, 0.0, top if self.is_percent else estimate.high)
        return Estimate(estimate.value, max(0.0, estimate.low), min(top, estimate.high))

    def format(self, value: float) -> str:
        return f"{100 * value:.1f}" if self.is_percent else f"{value:.1f}"

    def format_rounded(self, value: float) -> str:
        """Without decimals, for the ends of an interval where space is short."""
        return f"{100 * value if self.is_percent else value:.0f}"


FIRST_LINE = Measure(
    "first line",
    "the first line that is not blank equals the original, %",
    lambda hole: hole.is_first_line_match,
    is_proportion=True,
)
SIMILARITY = Measure(
    "similarity", "matching characters of all characters (edit similarity), %", lambda hole: hole.edit_similarity
)
NO_ANSWER = Measure("no answer", "nothing was suggested, %", lambda hole: not hole.has_answer, is_proportion=True)
MEASURES = (
    FIRST_LINE,
    Measure("exact", "the whole text equals the original, %", lambda hole: hole.is_exact, is_proportion=True),
    SIMILARITY,
    Measure("names F1", "identifiers that agree, if the original has any (F1), %", lambda hole: hole.identifier_f1),
    Measure("kept", "correct characters from the start", lambda hole: hole.kept_chars, is_percent=False),
    NO_ANSWER,
)
QUANTILES = (0.5, 0.9, 0.95, 0.99)


@dataclass(frozen=True, slots=True)
class Group:
    """The holes of a kind, of a language, or of a kind within a language; of all if both are empty."""

    kind: str
    language: str
    holes: tuple[ScoredHole, ...]

    @property
    def name(self) -> str:
        """The kind, else the language: a kind within a language is listed below that language."""
        return self.kind or self.language or "all"

    @property
    def is_subgroup(self) -> bool:
        """Whether this is a kind within one language."""
        return bool(self.kind and self.language)

    def estimates(self) -> dict[str, Estimate]:
        """By the name of the measure."""
        return {measure.name: measure.estimate(self.holes) for measure in MEASURES}

    def latencies(self) -> dict[float, Estimate]:
        """Milliseconds by quantile."""
        times = [hole.elapsed_ms for hole in self.holes]
        return {share: score.estimate_quantile(times, share) for share in QUANTILES}


def group_by_kind(holes: Sequence[ScoredHole]) -> list[Group]:
    """Each kind that occurs; then all holes, if there is more than one kind."""
    kinds = [kind for kind in SYNTAX_KINDS if any(hole.kind == kind for hole in holes)]
    groups = [Group(str(kind), "", tuple(hole for hole in holes if hole.kind == kind)) for kind in kinds]
    return groups if len(groups) == 1 else [*groups, Group("", "", tuple(holes))]


def group_by_language(holes: Sequence[ScoredHole]) -> Iterator[Group]:
    """Each language, the one with most holes first: all its kinds, then each kind. Nothing if there is one language."""
    languages = sorted({hole.language for hole in holes}, key=lambda name: (-_count(holes, name), name))
    if len(languages) < 2:
        return
    for language in languages:
        in_language = [hole for hole in holes if hole.language == language]
        yield Group("", language, tuple(in_language))
        for group in group_by_kind(in_language):
            if group.kind:
                yield Group(group.kind, language, group.holes)


def _count(holes: Sequence[ScoredHole], language: str) -> int:
    return sum(hole.language == language for hole in holes)
