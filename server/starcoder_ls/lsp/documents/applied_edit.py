"""A change of a text in offsets, so that positions in the old text can be mapped to the new one."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class AppliedEdit:
    """``inserted`` replaced ``removed``, which stood at ``start`` of the old text."""

    start: int
    removed: str
    inserted: str

    @property
    def end(self) -> int:
        """Where ``removed`` ended in the old text."""
        return self.start + len(self.removed)

    @property
    def chars(self) -> int:
        """The number of inserted characters."""
        return len(self.inserted)


def minimal_edit(old: str, new: str, offset: int = 0) -> AppliedEdit:
    """The replacement of ``old``, which stands at ``offset``, by ``new``, without what both begin and end with.

    Linear in the length of the texts.
    """
    if not old or not new:  # as most keys
        return AppliedEdit(offset, old, new)
    common_start = _common_start(old, new)
    old, new = old[common_start:], new[common_start:]
    common_end = _common_end(old, new)
    return AppliedEdit(offset + common_start, old[: len(old) - common_end], new[: len(new) - common_end])


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
