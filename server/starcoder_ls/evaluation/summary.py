"""Scores of many holes as figures with intervals, by kind of hole and by language.

Decides which figures there are and what they are called. Refuses to know how they are shown.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from starcoder_ls.evaluation import score
from starcoder_ls.evaluation.holes import BY_SYNTAX
from starcoder_ls.evaluation.results import Filled
from starcoder_ls.evaluation.score import Mean


@dataclass(frozen=True, slots=True)
class Measure:
    """One score of a hole; None where the hole has none. Shares are of yes and no."""

    name: str
    meaning: str
    of: Callable[[Filled], float | None]
    is_share: bool = False
    is_percent: bool = True
    is_better_low: bool = False

    def mean(self, holes: Sequence[Filled]) -> Mean:
        values = [value for hole in holes if (value := self.of(hole)) is not None]
        if self.is_share:
            return score.share([value > 0 for value in values])
        found, top = score.mean(values), 1.0 if self.is_percent else math.inf
        if len(values) == 1:  # of one hole nothing follows for others
            return Mean(found.value, 0.0, top if self.is_percent else found.high)
        return Mean(found.value, max(0.0, found.low), min(top, found.high))

    def shown(self, value: float) -> str:
        return f"{100 * value:.1f}" if self.is_percent else f"{value:.1f}"

    def whole(self, value: float) -> str:
        """Rounded, for the ends of an interval where room is short."""
        return f"{100 * value if self.is_percent else value:.0f}"


FIRST_LINE = Measure(
    "first line", "the first line with content is the one that stood there, %", lambda h: h.is_first_line_match, True
)
MEASURES = (
    FIRST_LINE,
    Measure("exact", "the whole hole is filled as it was, %", lambda h: h.is_exact, True),
    Measure("similarity", "matching characters of all characters (edit similarity), %", lambda h: h.edit_similarity),
    Measure("names F1", "identifiers that agree, where there are any (F1), %", lambda h: h.identifier_f1),
    Measure("kept", "characters from the start that are right", lambda h: h.kept_chars, is_percent=False),
    Measure("no answer", "nothing was suggested, %", lambda h: not h.has_answer, True, is_better_low=True),
)
QUANTILES = (0.5, 0.9, 0.95, 0.99)


@dataclass(frozen=True, slots=True)
class Group:
    """Some of the holes. ``kind`` and ``language`` are empty for all of them."""

    kind: str
    language: str
    holes: tuple[Filled, ...]

    @property
    def name(self) -> str:
        """As a heading of its own: a kind within a language is read below that language."""
        return self.kind or self.language or "all"

    @property
    def is_part(self) -> bool:
        """A kind within one language."""
        return bool(self.kind and self.language)

    def means(self) -> dict[str, Mean]:
        return {measure.name: measure.mean(self.holes) for measure in MEASURES}

    def latency(self) -> dict[float, Mean]:
        """Milliseconds by share of requests."""
        return {which: score.quantile([hole.elapsed_ms for hole in self.holes], which) for which in QUANTILES}


def by_kind(holes: Sequence[Filled]) -> list[Group]:
    """Each kind that occurs, then all, where there is more than one."""
    kinds = [kind for kind in BY_SYNTAX if any(hole.kind == kind for hole in holes)]
    groups = [Group(str(kind), "", tuple(hole for hole in holes if hole.kind == kind)) for kind in kinds]
    return groups if len(groups) == 1 else [*groups, Group("", "", tuple(holes))]


def by_language(holes: Sequence[Filled]) -> Iterator[Group]:
    """Each language, most holes first, over all kinds and then by kind; nothing where there is one language only."""
    languages = sorted({hole.language for hole in holes}, key=lambda name: (-_count(holes, name), name))
    if len(languages) < 2:
        return
    for language in languages:
        own = [hole for hole in holes if hole.language == language]
        yield Group("", language, tuple(own))
        for group in by_kind(own):
            if group.kind:
                yield Group(group.kind, language, group.holes)


def _count(holes: Sequence[Filled], language: str) -> int:
    return sum(hole.language == language for hole in holes)
