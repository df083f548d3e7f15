"""The recent edits of a workspace's open documents, as small diffs in memory.

Decides which keystrokes form one edit: those that begin where the previous one left the cursor. Edits of excluded
documents must not be passed here.
"""

from __future__ import annotations

import difflib
from collections import deque
from dataclasses import dataclass

from starcoder_ls.context.secrets import mask_secrets

MAX_EDITS = 32
MAX_EDIT_CHARS = 2_000
"""A larger edit (a paste, a formatter) is not recorded."""
MAX_TOTAL_CHARS = 16_000
_LINE_CHARS = 200


@dataclass(frozen=True, slots=True)
class RecentEdit:
    """``after`` replaced ``before`` in the document ``uri``; one of them may be empty.

    ``start`` is where ``after`` stands in the document now; None if it was closed or that text has changed again.
    ``line_start`` and ``line_end`` are the rest of the lines that the edit begins and ends in.
    """

    uri: str
    path: str
    start: int | None
    before: str
    after: str
    line_start: str = ""
    line_end: str = ""

    @property
    def lines_before(self) -> str:
        """The changed lines, before the edit."""
        return self.line_start + self.before + self.line_end

    @property
    def lines_after(self) -> str:
        """The changed lines, after the edit."""
        return self.line_start + self.after + self.line_end


@dataclass(slots=True)
class _Record:
    """An edit that can grow while the user types, and moves when text above it changes."""

    uri: str
    path: str
    start: int
    before: str
    after: str
    cursor: int
    """Where the last keystroke left the cursor."""
    line_start: str = ""
    line_end: str = ""
    is_located: bool = True

    @property
    def end(self) -> int:
        return self.start + len(self.after)

    @property
    def chars(self) -> int:
        return len(self.before) + len(self.after)

    def extend(self, start: int, removed: str, inserted: str) -> None:
        """Add an edit that touches ``after``; what it removed beyond ``after`` stood there before this edit too."""
        end = start + len(removed)
        left = removed[: max(0, self.start - start)]
        right = removed[len(removed) - max(0, end - self.end) :]
        kept = self.after[: max(0, start - self.start)], self.after[max(0, end - self.start) :]
        self.before = left + self.before + right
        self.after = kept[0] + inserted + kept[1]
        self.start = min(start, self.start)
        self.cursor = start + len(inserted)

    def shift(self, start: int, removed: str, inserted: str) -> None:
        """Another edit was made. If it touches the text of this one, its position is unknown from now on."""
        end = start + len(removed)
        if end <= self.start and (end < self.start or not removed):
            self.start += len(inserted) - len(removed)
        elif start < self.end or (start == self.end and removed == "" and not self.after):
            self.is_located = False

    def read_lines(self, text: str) -> None:
        """Take the rest of the changed lines from ``text``, the document now."""
        first = max(text.rfind("\n", 0, self.start) + 1, self.start - _LINE_CHARS)
        last = text.find("\n", self.end, self.end + _LINE_CHARS)
        self.line_start = text[first : self.start]
        self.line_end = text[self.end : self.end + _LINE_CHARS if last < 0 else last]


class EditHistory:
    """The edits of one client: at most ``MAX_EDITS``, and ``MAX_TOTAL_CHARS`` characters of text."""

    def __init__(self) -> None:
        self._records: deque[_Record] = deque()
        self._is_open = False
        """The next edit may continue the newest one."""

    def record(self, uri: str, path: str, text: str, start: int, removed: str, inserted: str) -> None:
        """``inserted`` has replaced ``removed`` at ``start`` of the document, which is ``text`` now."""
        newest = self._records[-1] if self._records else None
        is_continued = (
            newest is not None
            and self._is_open
            and newest.uri == uri
            and newest.is_located
            and start <= newest.cursor <= start + len(removed)
            and newest.chars + len(removed) + len(inserted) <= MAX_EDIT_CHARS
        )
        for record in self._records:
            if record.uri == uri and record.is_located and not (is_continued and record is newest):
                record.shift(start, removed, inserted)
        if removed == inserted:
            return
        if newest is not None and is_continued:
            newest.extend(start, removed, inserted)
        elif len(removed) + len(inserted) <= MAX_EDIT_CHARS:
            newest = _Record(uri, path, start, removed, inserted, start + len(inserted))
            self._records.append(newest)
        else:
            self._is_open = False
            return
        newest.read_lines(text)
        self._is_open = True
        if newest.before == newest.after:
            self._records.pop()
            self._is_open = False
        self._drop_oldest()

    def forget_positions(self, uri: str) -> None:
        """The document was closed, or its text changed in an unknown way."""
        for record in self._records:
            if record.uri == uri:
                record.is_located = False

    def discard(self, uri: str) -> None:
        """Forget the edits of a document that must not reach a model from now on."""
        self._records = deque(record for record in self._records if record.uri != uri)
        self._is_open = False

    def clear(self) -> None:
        self._records.clear()
        self._is_open = False

    def recent(self) -> list[RecentEdit]:
        """The edits, newest first."""
        return [
            RecentEdit(
                record.uri,
                record.path,
                record.start if record.is_located else None,
                record.before,
                record.after,
                record.line_start,
                record.line_end,
            )
            for record in reversed(self._records)
        ]

    def _drop_oldest(self) -> None:
        chars = sum(record.chars for record in self._records)
        while len(self._records) > MAX_EDITS or chars > MAX_TOTAL_CHARS:
            chars -= self._records.popleft().chars


def format_diff(edit: RecentEdit, path: str) -> str:
    """``edit`` as a unified diff of the file ``path`` without line numbers, with secrets masked: text for a prompt."""
    before = mask_secrets(edit.lines_before).split("\n")
    after = mask_secrets(edit.lines_after).split("\n")
    lines = list(difflib.unified_diff(before, after, path, path, lineterm="", n=0))
    return "\n".join("@@" if line.startswith("@@") else line for line in lines)
