"""Parses a source with the tree of an earlier source that differs from it in one place.

Decides when an earlier tree is used: only if neither source has a syntax error, because the tree of a source with
errors depends on how it was parsed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import tree_sitter

from starcoder_ls.syntax import grammars

MAX_CHANGED_BYTES = 4_000


@dataclass(frozen=True, slots=True)
class ParsedSource:
    """A source, from ``grammars.encode``, with its tree."""

    source: bytes
    tree: tree_sitter.Tree


@dataclass(frozen=True, slots=True)
class ByteChange:
    """The bytes from ``start`` to ``old_end`` of a source became those from ``start`` to ``new_end`` of another."""

    start: int
    old_end: int
    new_end: int

    @property
    def size(self) -> int:
        return max(self.old_end, self.new_end) - self.start


def parse(
    source: bytes, language_id: str, budget_ms: float, earlier: Sequence[ParsedSource] = ()
) -> tree_sitter.Tree | None:
    """The tree of ``source``, as ``grammars.parse`` returns it; from the most similar of ``earlier`` if possible."""
    usable = [each for each in earlier if not each.tree.root_node.has_error]
    changes = [(find_change(each.source, source), each) for each in usable]
    change, nearest = min(changes, key=lambda each: each[0].size, default=(None, None))
    if nearest is not None and change is not None and change.size <= MAX_CHANGED_BYTES:
        tree = grammars.parse(source, language_id, budget_ms, _edited_tree(nearest, source, change))
        if tree is None or not tree.root_node.has_error:
            return tree
    return grammars.parse(source, language_id, budget_ms)


def find_change(old: bytes, new: bytes) -> ByteChange:
    """The smallest change that turns ``old`` into ``new``."""
    shorter = min(len(old), len(new))
    low, high = 0, shorter
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if old[low:middle] == new[low:middle] else (low, middle - 1)
    start, low, high = low, 0, shorter - low
    while low < high:
        middle = (low + high + 1) // 2
        is_same = old[len(old) - middle : len(old) - low] == new[len(new) - middle : len(new) - low]
        low, high = (middle, high) if is_same else (low, middle - 1)
    return ByteChange(start, len(old) - low, len(new) - low)


def _edited_tree(earlier: ParsedSource, source: bytes, change: ByteChange) -> tree_sitter.Tree:
    """A copy of the earlier tree in which the change is marked; nodes of the tree itself stay valid."""
    edited = earlier.tree.copy()
    edited.edit(
        change.start,
        change.old_end,
        change.new_end,
        _point(earlier.source, change.start),
        _point(earlier.source, change.old_end),
        _point(source, change.new_end),
    )
    return edited


def _point(source: bytes, offset: int) -> tuple[int, int]:
    """Line and column in bytes, both from 0."""
    return source.count(b"\n", 0, offset), offset - (source.rfind(b"\n", 0, offset) + 1)
