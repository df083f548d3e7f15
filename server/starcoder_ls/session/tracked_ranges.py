"""Ranges of open documents that follow later edits.

Decides what belongs to a range: all text between the text that stood before it and the text that stood after it. An
edit that changes either of them at the range's border makes the range unknown.
"""

from __future__ import annotations

from weakref import WeakSet

from starcoder_ls.lsp.documents.applied_edit import AppliedEdit


class TrackedRange:
    """From ``start`` to ``end``, in characters. ``is_lost``: it is unknown where the range is now."""

    __slots__ = ("__weakref__", "end", "is_lost", "start")

    def __init__(self, start: int, end: int) -> None:
        self.start, self.end, self.is_lost = start, end, False

    def apply(self, edit: AppliedEdit) -> None:
        """Text inserted at the start or the end becomes part of the range."""
        growth = edit.chars - (edit.end - edit.start)
        if self.start <= edit.start and edit.end <= self.end:
            self.end += growth
        elif edit.end < self.start:
            self.start += growth
            self.end += growth
        elif edit.start <= self.end:
            self.is_lost = True


class TrackedRanges:
    """The ranges of one client's documents. A range that is no longer referenced is forgotten."""

    def __init__(self) -> None:
        self._by_uri: dict[str, WeakSet[TrackedRange]] = {}

    def track(self, uri: str, start: int, end: int) -> TrackedRange:
        """A range of the current text of ``uri``."""
        tracked = TrackedRange(start, end)
        self._by_uri.setdefault(uri, WeakSet()).add(tracked)
        return tracked

    def on_edit(self, uri: str, edit: AppliedEdit | None) -> None:
        """``edit`` was applied to ``uri``; None: its text has changed in an unknown way."""
        ranges = self._by_uri.get(uri)
        if not ranges:
            return
        for tracked in ranges:
            if edit is None:
                tracked.is_lost = True
            elif not tracked.is_lost:
                tracked.apply(edit)

    def discard(self, uri: str) -> None:
        """``uri`` was closed."""
        self.on_edit(uri, None)
        self._by_uri.pop(uri, None)
