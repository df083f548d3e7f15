"""Holes in real files, drawn by a seed: what stood there is known, so that a suggestion can be scored.

Refuses to know what fills them.
"""

from __future__ import annotations

import enum
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from starcoder_ls.evaluation.boundaries import Boundaries, is_worth_filling
from starcoder_ls.learning.sources import Source

_MIN_CHARS = 4
_TRIES = 200
_TRIES_OF_A_FILE = 20
_MOST_SPAN_CHARS = 120


class Kind(enum.StrEnum):
    """Where a hole begins and ends."""

    LINE = "single-line"
    """A whole line after its indentation."""
    REST = "rest of line"
    """From inside a line to its end, as after a pause in typing."""
    LINES = "multi-line"
    """Two to six whole lines after the first one's indentation."""
    SPAN = "random span"
    """Between two uniform characters at most 120 apart."""
    BLOCK = "block"
    """The body of a function, branch or loop, two to twelve lines, after the first one's indentation."""


BY_TEXT = (Kind.LINE, Kind.REST, Kind.LINES, Kind.SPAN)
BY_SYNTAX = (Kind.LINE, Kind.REST, Kind.BLOCK, Kind.SPAN)


@dataclass(frozen=True, slots=True)
class Hole:
    kind: Kind
    source: Source
    start: int
    end: int

    @property
    def text(self) -> str:
        """The document without what stood in the hole; the cursor is at ``start``."""
        return self.source.text[: self.start] + self.source.text[self.end :]

    @property
    def middle(self) -> str:
        return self.source.text[self.start : self.end]


def drawn(sources: Sequence[Source], kind: Kind, count: int, seed: int) -> list[Hole]:
    """``count`` holes in files drawn evenly; lines that are blank, comments or only punctuation are passed over."""
    rng = random.Random(f"{seed}/{kind}")
    holes: list[Hole] = []
    for _ in range(count * _TRIES):
        if len(holes) == count:
            break
        source = rng.choice(sources)
        span = _span(source.text, kind, rng)
        if span and is_worth_filling(source.text[slice(*span)]):
            holes.append(Hole(kind, source, *span))
    return holes


def drawn_by_syntax(
    paths: Sequence[str],
    kind: Kind,
    count: int,
    seed: int,
    source_of: Callable[[str], tuple[Source, Boundaries] | None],
) -> list[Hole]:
    """``count`` different holes, or as many as there are, where the syntax allows one; files are drawn evenly.

    ``source_of`` reads a path when it is first drawn; None for what cannot be read.
    """
    rng = random.Random(f"{seed}/{kind}")
    left, holes = list(paths), dict[tuple[str, int, int], Hole]()
    failures: dict[str, int] = {}
    while left and len(holes) < count:
        path = left[rng.randrange(len(left))]
        found = source_of(path)
        span = found and _span_by_syntax(found[1], kind, rng)
        if found and span and (path, *span) not in holes and is_worth_filling(found[0].text[slice(*span)]):
            holes[path, *span] = Hole(kind, found[0], *span)
            continue
        failures[path] = failures.get(path, 0) + 1
        if not found or failures[path] >= _TRIES_OF_A_FILE:
            left.remove(path)
    return list(holes.values())


def _span_by_syntax(places: Boundaries, kind: Kind, rng: random.Random) -> tuple[int, int] | None:
    if kind is Kind.SPAN:
        if not places.code:
            return None
        begin, end = rng.choices(places.code, [end - begin for begin, end in places.code])[0]
        start = rng.randrange(begin, end)
        return start, min(end, start + rng.randint(1, _MOST_SPAN_CHARS))
    ranges = places.blocks if kind is Kind.BLOCK else places.lines
    if not ranges:
        return None
    begin, end = rng.choice(ranges)
    if kind is Kind.REST:
        begin += rng.randint(1, max(1, end - begin - _MIN_CHARS))
    return begin, end


def _span(text: str, kind: Kind, rng: random.Random) -> tuple[int, int] | None:
    if kind is Kind.SPAN:
        start = rng.randrange(len(text))
        return start, min(len(text), start + rng.randint(1, _MOST_SPAN_CHARS))
    starts = [0, *(place + 1 for place, char in enumerate(text) if char == "\n")]
    number = rng.randrange(len(starts) - 1)
    last = number + (rng.randint(1, 5) if kind is Kind.LINES else 0)
    if last + 1 >= len(starts):
        return None
    line = text[starts[number] : starts[number + 1] - 1]
    if not line.strip() or line.lstrip().startswith("#"):
        return None
    start = starts[number] + len(line) - len(line.lstrip())
    end = starts[last + 1] - 1
    if kind is Kind.REST:
        start += rng.randint(1, max(1, len(line.strip()) - _MIN_CHARS))
    return start, end


def copied_line(hole: Hole) -> str:
    """The dumb completer: of the earlier lines that go on as this one began, the one whose line above is most alike.

    Without an earlier line that begins so, the line after the line most like the one above.
    """
    lines = hole.text[: hole.start].split("\n")
    above, begun = (lines[-2].strip() if len(lines) > 1 else ""), lines[-1].lstrip()
    matcher = SequenceMatcher(autojunk=False)
    matcher.set_seq2(above)
    best, best_score = "", -1.0
    for number in range(1, len(lines) - 1):
        line = lines[number].strip()
        if not line:
            continue
        matcher.set_seq1(lines[number - 1].strip())
        goes_on = begun != "" and line.startswith(begun)
        score = matcher.ratio() + (2.0 if goes_on else 0.0)
        if score > best_score:
            best, best_score = line[len(begun) :] if goes_on else line, score
    return best
