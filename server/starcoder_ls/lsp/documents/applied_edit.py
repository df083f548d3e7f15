"""A change of a text in offsets, so that positions in the old text can be mapped to the new one."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class AppliedEdit:
    """``chars`` characters replaced those from ``start`` to ``end`` of the old text."""

    start: int
    end: int
    chars: int


def minimal_edit(old: str, new: str, offset: int = 0) -> AppliedEdit:
    """The replacement of ``old``, which stands at ``offset``, by ``new``, without what both begin and end with.

    Linear in the length of the texts.
    """
    if not old or not new:  # as most keys
        return AppliedEdit(offset, offset + len(old), len(new))
    common_start = _common_start(old, new)
    old, new = old[common_start:], new[common_start:]
    common_end = _common_end(old, new)
    start = offset + common_start
    return AppliedEdit(start, start + len(old) - common_end, len(new) - common_end)


def _common_start(old: str, new: str) -> int:
    """The number of characters that both texts begin with, by bisection: comparing slices is fast."""
    low, high = 0, min(len(old), len(new))
    while low < high:
        middle = (low + high + 1) // 2
        if old[low:middle] == new[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _common_end(old: str, new: str) -> int:
    low, high = 0, min(len(old), len(new))
    while low < high:
        middle = (low + high + 1) // 2
        if old[len(old) - middle : len(old) - low] == new[len(new) - middle : len(new) - low]:
            low = middle
        else:
            high = middle - 1
    return low
