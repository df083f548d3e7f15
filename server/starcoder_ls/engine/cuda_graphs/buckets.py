"""The shapes of passes that graphs are made for: few, so that each is met again, and each a little larger than needed.

Decides the steps in which rows, new tokens and places grow. Refuses to know what is recorded.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

ROWS = (1, 2, 4, 8, 16)
TIMES = (1, 2, 4, 8)
LEAST_TOKENS = 512
SHARED_TOKENS = 2048
"""Longer sequences have shapes of one row alone."""


@dataclass(frozen=True, slots=True, order=True)
class Bucket:
    """A pass over ``rows`` sequences, ``time`` new tokens each; they look at the first ``tokens`` places."""

    rows: int
    time: int
    tokens: int


def places(context_tokens: int) -> Iterator[int]:
    """How many may be looked at: powers of two up to the context."""
    size = LEAST_TOKENS
    while size < context_tokens:
        yield size
        size *= 2
    yield context_tokens


def that_hold(rows: int, new: int, end: int, context_tokens: int) -> Iterator[Bucket]:
    """All shapes for so many sequences, that read ``new`` tokens each up to place ``end``; the smallest first."""
    tokens = [size for size in places(context_tokens) if size >= end]
    for size, count, time in product(tokens, ROWS, TIMES):
        if count >= rows and time >= new and (count == 1 or size <= SHARED_TOKENS):
            yield Bucket(count, time, size)


def of_one_request(context_tokens: int) -> Iterator[Bucket]:
    """What a lone request will want; first those that serve for the others until these are there."""
    tokens = [size for size in places(context_tokens) if size <= SHARED_TOKENS]
    for size, time in product(reversed(tokens), (8, 1, 4, 2)):
        yield Bucket(1, time, size)
