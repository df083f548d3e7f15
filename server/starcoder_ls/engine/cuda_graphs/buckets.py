"""The shapes of passes that graphs are made for: few, so that each is met again, and each a little larger than needed.

Decides the steps in which rows, new tokens and places grow. Refuses to know what is recorded.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

ROW_COUNTS = (1, 2, 4, 8, 16)
NEW_TOKENS = (1, 2, 4, 8)
MIN_KV_TOKENS = 512
MAX_SHARED_KV_TOKENS = 2048
"""Longer sequences have shapes of one row alone."""


@dataclass(frozen=True, slots=True, order=True)
class Bucket:
    """A pass over ``rows`` sequences, ``time`` new tokens each; they look at the first ``tokens`` places."""

    rows: int
    time: int
    tokens: int


def kv_sizes(context_tokens: int) -> Iterator[int]:
    """How many may be looked at: powers of two up to the context."""
    size = MIN_KV_TOKENS
    while size < context_tokens:
        yield size
        size *= 2
    yield context_tokens


def buckets_holding(rows: int, new: int, end: int, context_tokens: int) -> Iterator[Bucket]:
    """All shapes for so many sequences, that read ``new`` tokens each up to place ``end``; the smallest first."""
    tokens = [size for size in kv_sizes(context_tokens) if size >= end]
    for size, count, time in product(tokens, ROW_COUNTS, NEW_TOKENS):
        if count >= rows and time >= new and (count == 1 or size <= MAX_SHARED_KV_TOKENS):
            yield Bucket(count, time, size)


def single_request_buckets(context_tokens: int) -> Iterator[Bucket]:
    """What a lone request will want; first those that serve for the others until these are there."""
    tokens = [size for size in kv_sizes(context_tokens) if size <= MAX_SHARED_KV_TOKENS]
    for size, time in product(reversed(tokens), (8, 1, 4, 2)):
        yield Bucket(1, time, size)
