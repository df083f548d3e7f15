"""The shapes of passes for which CUDA graphs are captured.

Shapes are few, so that each recurs; a pass runs in the smallest one that holds it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

ROW_COUNTS = (1, 2, 4, 8, 16)
NEW_TOKEN_COUNTS = (1, 2, 4, 8)
LONG_NEW_TOKEN_COUNTS = (16, 32)
"""Of passes over one row: what a key changed in a prompt. They are captured once a pass has lacked them."""

MIN_KV_TOKENS = 512
MAX_SHARED_KV_TOKENS = 2048
"""Longer sequences run in buckets of one row only."""


@dataclass(frozen=True, slots=True, order=True)
class Bucket:
    """A pass over ``rows`` sequences with ``new_tokens`` each, which attend to the first ``kv_tokens`` positions."""

    rows: int
    new_tokens: int
    kv_tokens: int


def kv_sizes(context_tokens: int) -> Iterator[int]:
    """Yield the values of ``Bucket.kv_tokens``: powers of two from ``MIN_KV_TOKENS``, then ``context_tokens``."""
    size = MIN_KV_TOKENS
    while size < context_tokens:
        yield size
        size *= 2
    yield context_tokens


def static_kv_sizes(context_tokens: int) -> list[tuple[int, tuple[int, ...]]]:
    """Return what ``allocate_static_kv`` allocates: many rows for short sequences, and one row of the whole context."""
    shared_tokens = min(MAX_SHARED_KV_TOKENS, context_tokens)
    sizes: list[tuple[int, tuple[int, ...]]] = [(shared_tokens, ROW_COUNTS[::-1])]
    if context_tokens > shared_tokens:
        sizes.append((context_tokens, (1,)))
    return sizes


def buckets_holding(rows: int, new_tokens: int, end: int, context_tokens: int) -> Iterator[Bucket]:
    """Yield all buckets for ``rows`` sequences of ``new_tokens`` each up to position ``end``, the smallest first."""
    sizes = [size for size in kv_sizes(context_tokens) if size >= end]
    for size, row_count, count in product(sizes, ROW_COUNTS, NEW_TOKEN_COUNTS + LONG_NEW_TOKEN_COUNTS):
        is_shareable = size <= MAX_SHARED_KV_TOKENS and count in NEW_TOKEN_COUNTS
        if row_count >= rows and count >= new_tokens and (row_count == 1 or is_shareable):
            yield Bucket(row_count, count, size)


def single_request_buckets(context_tokens: int) -> Iterator[Bucket]:
    """Yield the buckets of a single request; first those that can stand in for the others until these are captured."""
    sizes = [size for size in kv_sizes(context_tokens) if size <= MAX_SHARED_KV_TOKENS]
    for size, count in product(reversed(sizes), (8, 1, 4, 2)):
        yield Bucket(1, count, size)
