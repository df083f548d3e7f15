"""Asks both sides for each hole or edit, one right after the other, so that what slows the machine meets both.

Decides the order: the side that is first at one is second at the next one.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

Task = TypeVar("Task")
Answer = TypeVar("Answer")


async def fill_alternately(
    tasks: Iterable[Task],
    fill: Callable[[int, Task], Awaitable[Answer]],
    find_kept: Callable[[Task], tuple[Answer, Answer] | None] = lambda _: None,
    keep: Callable[[tuple[Answer, Answer]], Awaitable[None]] | None = None,
) -> list[tuple[Answer, Answer]]:
    """The answers of both sides to each of ``tasks``, in order. ``fill`` asks a side, 0 or 1.

    What ``find_kept`` returns is taken in place of asking; ``keep`` gets each other pair as soon as both sides have
    answered. The order of the sides is the same, whatever was kept. Raises what ``fill`` and ``keep`` raise.
    """
    pairs: list[tuple[Answer, Answer]] = []
    for number, task in enumerate(tasks):
        pair = find_kept(task)
        if pair is None:
            first = number % 2
            filled = {side: await fill(side, task) for side in (first, 1 - first)}
            pair = filled[0], filled[1]
            if keep is not None:
                await keep(pair)
        pairs.append(pair)
    return pairs
