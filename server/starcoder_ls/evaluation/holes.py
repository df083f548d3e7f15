"""Draws holes in real files: spans of text that are removed, so that a suggestion can be compared with the original.

The seed decides which holes are drawn.
"""

from __future__ import annotations

import enum
import heapq
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from starcoder_ls.context.source_files import Source
from starcoder_ls.evaluation.boundaries import Boundaries, is_worth_filling

_MIN_CHARS = 4
_MAX_TRIES_PER_HOLE = 200
_MAX_TRIES_PER_FILE = 20
_MAX_SPAN_CHARS = 120


class Kind(enum.StrEnum):
    """Where a hole begins and ends."""

    LINE = "single-line"
    """A whole line after its indentation."""
    REST = "rest of line"
    """From inside a line to its end, as after a pause in typing."""
    LINES = "multi-line"
    """Two to six whole lines after the indentation of the first."""
    SPAN = "random span"
    """Between two uniformly drawn characters at most 120 apart."""
    BLOCK = "block"
    """The body of a function, branch or loop, two to twelve lines, after the indentation of the first."""


TEXT_KINDS = (Kind.LINE, Kind.REST, Kind.LINES, Kind.SPAN)
"""The kinds that ``draw_holes`` can draw."""
SYNTAX_KINDS = (Kind.LINE, Kind.REST, Kind.BLOCK, Kind.SPAN)
"""The kinds that ``draw_holes_by_syntax`` can draw."""


@dataclass(frozen=True, slots=True)
class Hole:
    """The text between the offsets ``start`` and ``end`` of ``source``."""

    kind: Kind
    source: Source
    start: int
    end: int

    @property
    def text(self) -> str:
        """The document without the hole's text; the cursor is at ``start``."""
        return self.source.text[: self.start] + self.source.text[self.end :]

    @property
    def middle(self) -> str:
        """The hole's original text."""
        return self.source.text[self.start : self.end]


def draw_holes(sources: Sequence[Source], kind: Kind, count: int, seed: int) -> list[Hole]:
    """``count`` holes; each file is equally likely. Lines that are blank, comments or only punctuation are skipped."""
    rng = random.Random(f"{seed}/{kind}")
    holes: list[Hole] = []
    for _ in range(count * _MAX_TRIES_PER_HOLE):
        if len(holes) == count:
            break
        source = rng.choice(sources)
        span = _draw_span(source.text, kind, rng)
        if span and is_worth_filling(source.text[slice(*span)]):
            holes.append(Hole(kind, source, *span))
    return holes


def draw_holes_by_syntax(
    paths: Sequence[str],
    kind: Kind,
    count: int,
    seed: int,
    read_source: Callable[[str], tuple[Source, Boundaries] | None],
    name_of: Callable[[str], str] = str,
) -> list[Hole]:
    """``count`` different holes within the boundaries of the syntax, or as many as there are; files are equally likely.

    Each file has random times of its own (a Poisson process) at which a hole is drawn in it, which follow from the seed
    and from its name (``name_of``); the earliest count. Another file therefore displaces some holes and leaves the
    others. ``read_source`` is called when a path is first drawn, and returns None for a file that cannot be read.
    """
    holes: dict[tuple[str, int, int], Hole] = {}
    failures: dict[str, int] = {}
    randoms = {path: random.Random(f"{seed}/{kind}/{name_of(path)}") for path in paths}
    queue = [(rng.expovariate(1.0), path) for path, rng in randoms.items()]
    heapq.heapify(queue)
    while queue and len(holes) < count:
        time, path = heapq.heappop(queue)
        rng, found = randoms[path], read_source(path)
        span = found and _draw_span_by_syntax(found[1], kind, rng)
        if found and span and (path, *span) not in holes and is_worth_filling(found[0].text[slice(*span)]):
            holes[path, *span] = Hole(kind, found[0], *span)
        else:
            failures[path] = failures.get(path, 0) + 1
        if found and failures.get(path, 0) < _MAX_TRIES_PER_FILE:
            heapq.heappush(queue, (time + rng.expovariate(1.0), path))
    return list(holes.values())


def _draw_span_by_syntax(boundaries: Boundaries, kind: Kind, rng: random.Random) -> tuple[int, int] | None:
    if kind is Kind.SPAN:
        if not boundaries.code:
            return None
        begin, end = rng.choices(boundaries.code, [end - begin for begin, end in boundaries.code])[0]
        start = rng.randrange(begin, end)
        return start, min(end, start + rng.randint(1, _MAX_SPAN_CHARS))
    ranges = boundaries.blocks if kind is Kind.BLOCK else boundaries.lines
    if not ranges:
        return None
    begin, end = rng.choice(ranges)
    if kind is Kind.REST:
        begin += rng.randint(1, max(1, end - begin - _MIN_CHARS))
    return begin, end


def _draw_span(text: str, kind: Kind, rng: random.Random) -> tuple[int, int] | None:
    if kind is Kind.SPAN:
        start = rng.randrange(len(text))
        return start, min(len(text), start + rng.randint(1, _MAX_SPAN_CHARS))
    starts = [0, *(offset + 1 for offset, char in enumerate(text) if char == "\n")]
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


def copy_similar_line(hole: Hole) -> str:
    """A baseline without a model: copies from the earlier line whose line above is most similar to the one above.

    Lines that begin as the cursor's line does come first; of these only the rest is copied.
    """
    lines = hole.text[: hole.start].split("\n")
    line_above, line_before = (lines[-2].strip() if len(lines) > 1 else ""), lines[-1].lstrip()
    matcher = SequenceMatcher(autojunk=False)
    matcher.set_seq2(line_above)
    best, best_score = "", -1.0
    for number in range(1, len(lines) - 1):
        line = lines[number].strip()
        if not line:
            continue
        matcher.set_seq1(lines[number - 1].strip())
        continues_line = line_before != "" and line.startswith(line_before)
        score = matcher.ratio() + (2.0 if continues_line else 0.0)
        if score > best_score:
            best, best_score = line[len(line_before) :] if continues_line else line, score
    return best
