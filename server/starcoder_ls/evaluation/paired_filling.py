"""Fills each hole from both sides, one right after the other, so that what slows the machine meets both.

Decides the order: the side that is first at one hole is second at the next one.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable

from starcoder_ls.evaluation.comparison import Pair
from starcoder_ls.evaluation.holes import Hole
from starcoder_ls.evaluation.results import ScoredHole

Fill = Callable[[int, Hole], Awaitable[ScoredHole]]
"""Asks a side, 0 or 1, to fill a hole."""


async def fill_alternately(holes: Iterable[Hole], fill: Fill) -> list[Pair]:
    """The holes as both sides have filled them. Raises what ``fill`` raises."""
    pairs: list[Pair] = []
    for number, hole in enumerate(holes):
        first = number % 2
        filled = {side: await fill(side, hole) for side in (first, 1 - first)}
        pairs.append((filled[0], filled[1]))
    return pairs
