"""The first difference between the lines of a window and those that a model writes in place of them.

Decides when a change is complete: when two lines in a row are those of the window again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

_MAX_CHANGED_LINES = 12
_SYNC_LINES = 2
_MAX_REPLACED_AT_END = 3


@dataclass(frozen=True, slots=True)
class LineChange:
    """The lines from ``start`` to ``old_end`` became those of the answer from ``start`` to ``new_end``."""

    start: int
    old_end: int
    new_end: int


def find_difference(old: Sequence[str], new: Sequence[str]) -> int | None:
    """The first line of ``new`` that differs from ``old``; None if there is none so far."""
    pairs = zip(old, new, strict=False)
    return next((at for at, (a, b) in enumerate(pairs) if a != b), len(old) if len(new) > len(old) else None)


def find_change(old: Sequence[str], new: Sequence[str], has_ended: bool = False) -> LineChange | None:
    """The first change from ``old`` to ``new``, complete lines; None if there is none, or if it goes on.

    ``has_ended``: ``new`` is the whole answer. An answer that ends early, or goes on behind the last line, has no
    change.
    """
    start = find_difference(old, new)
    if start is None:
        return None
    for changed in range(2 * _MAX_CHANGED_LINES + 1):
        for removed in range(max(0, changed - _MAX_CHANGED_LINES), min(changed, _MAX_CHANGED_LINES) + 1):
            old_end, new_end = start + removed, start + changed - removed
            if _is_in_step(old[old_end:], new[new_end:], has_ended):
                return LineChange(start, old_end, new_end)
    rest = len(old) - start
    written = len(new) - start
    is_replaced = has_ended and 0 < rest <= min(written, _MAX_REPLACED_AT_END) and written <= _MAX_CHANGED_LINES
    return LineChange(start, len(old), len(new)) if is_replaced else None


def is_too_long(old: Sequence[str], new: Sequence[str]) -> bool:
    """Whether ``new`` has differed for so many lines that no change can be found any more."""
    start = find_difference(old, new)
    return start is not None and len(new) - start > _MAX_CHANGED_LINES + _SYNC_LINES


def _is_in_step(old: Sequence[str], new: Sequence[str], has_ended: bool) -> bool:
    """Whether both go on in the same way."""
    head = old[:_SYNC_LINES]
    if len(head) == _SYNC_LINES and list(head) == list(new[:_SYNC_LINES]) and any(line.strip() for line in head):
        return True
    return has_ended and 0 < len(old) <= _SYNC_LINES and list(old) == list(new)
