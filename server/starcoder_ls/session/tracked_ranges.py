"""Ranges of open documents that follow later edits.

Decides what belongs to a range: all text between the text that stood before it and the text that stood after it. An
edit that changes either of them at the range's border makes the range unknown. A key is only noted; a range reads the
edits since only when it is read, because a hundred ranges may follow a document and few are ever read.
"""

from __future__ import annotations

from itertools import islice
from weakref import WeakSet

from starcoder_ls.lsp.documents.applied_edit import AppliedEdit

_MAX_NOTED = 2_000
"""Edits of a document; then all of its ranges read them. It takes 0.1 ms for a range."""

Growth = tuple[int, int, int]
"""Start and end of a replaced text, and by how many characters the new one is longer."""


class TrackedRange:
    """From ``start`` to ``end``, in characters. ``is_lost``: it is unknown where the range is now.

    ``noted`` are the edits of its document, of which it has read those that are there now.
    """

    __slots__ = ("__weakref__", "_end", "_is_lost", "_noted", "_read", "_start")

    def __init__(self, start: int, end: int, noted: list[Growth] | None = None) -> None:
        self._start, self._end, self._is_lost = start, end, False
        self._noted: list[Growth] = [] if noted is None else noted
        self._read = len(self._noted)

    @property
    def start(self) -> int:
        self.read()
        return self._start

    @property
    def end(self) -> int:
        self.read()
        return self._end

    @property
    def is_lost(self) -> bool:
        self.read()
        return self._is_lost

    def lose(self) -> None:
        """It is not known where the range is."""
        self._is_lost = True

    def read(self) -> None:
        """Follow the edits that were noted since the last time. Text inserted at the start or the end becomes part of
        the range."""
        if self._is_lost or self._read == len(self._noted):
            return
        start, end = self._start, self._end
        for edit_start, edit_end, growth in islice(self._noted, self._read, None):
            if edit_end < start:
                start += growth
                end += growth
            elif edit_start <= end:
                if edit_start < start or edit_end > end:
                    self._is_lost = True
                    break
                end += growth
        self._start, self._end, self._read = start, end, len(self._noted)

    def forget_noted(self) -> None:
        """Read all edits before they are removed."""
        self.read()
        self._read = 0


class TrackedRanges:
    """The ranges of one client's documents. A range that is no longer referenced is forgotten."""

    def __init__(self) -> None:
        self._by_uri: dict[str, tuple[WeakSet[TrackedRange], list[Growth]]] = {}

    def track(self, uri: str, start: int, end: int) -> TrackedRange:
        """A range of the current text of ``uri``."""
        ranges, noted = self._by_uri.setdefault(uri, (WeakSet(), []))
        tracked = TrackedRange(start, end, noted)
        ranges.add(tracked)
        return tracked

    def on_edit(self, uri: str, edit: AppliedEdit | None) -> None:
        """``edit`` was applied to ``uri``; None: its text has changed in an unknown way."""
        if (known := self._by_uri.get(uri)) is None:
            return
        ranges, noted = known
        if edit is None:
            for tracked in ranges:
                tracked.lose()
            return
        removed = len(edit.removed)
        noted.append((edit.start, edit.start + removed, len(edit.inserted) - removed))
        if len(noted) >= _MAX_NOTED:
            for tracked in ranges:
                tracked.forget_noted()
            noted.clear()

    def discard(self, uri: str) -> None:
        """``uri`` was closed."""
        self.on_edit(uri, None)
        self._by_uri.pop(uri, None)
