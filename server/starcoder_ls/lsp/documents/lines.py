"""Where the lines of a text start, kept up to date edit by edit.

Decides what ends a line: LSP's three (LF, CR LF, CR) and nothing else, unlike ``str.splitlines``. Refuses to know
columns, encodings, versions.
"""

from __future__ import annotations

import re
from bisect import bisect_right

_LINE_END = re.compile(r"\r\n?|\n")


class Lines:
    """Start offsets of all lines, with one pending shift.

    Entries from ``_shifted_from`` on are really ``_starts[i] + _shift``. Typing moves everything below the cursor by
    one; with the shift that costs nothing, and moving it to another place costs only the lines between.
    """

    __slots__ = ("_shift", "_shifted_from", "_starts")

    def __init__(self, text: str) -> None:
        self._starts = [0, *(match.end() for match in _LINE_END.finditer(text))]
        self._shifted_from = len(self._starts)
        self._shift = 0

    def __len__(self) -> int:
        return len(self._starts)

    def start(self, line: int) -> int:
        offset = self._starts[line]
        return offset + self._shift if line >= self._shifted_from else offset

    def span(self, line: int, text: str) -> tuple[int, int]:
        """Where ``line`` starts and where its content ends, its line end not included."""
        start = self.start(line)
        if line + 1 == len(self._starts):
            return start, len(text)
        end = self.start(line + 1) - 1
        if text[end] == "\n" and end > start and text[end - 1] == "\r":
            end -= 1
        return start, end

    def line_of(self, offset: int) -> int:
        first_shifted = self._shifted_from
        if first_shifted < len(self._starts) and offset >= self.start(first_shifted):
            return bisect_right(self._starts, offset - self._shift, first_shifted) - 1
        return bisect_right(self._starts, offset, 0, first_shifted) - 1

    def replace(self, start: int, end: int, new_text: str, grown: int) -> None:
        """Follow an edit: ``new_text`` is the whole text after it, ``grown`` how much longer than before.

        Lines are found anew from one before the edit (a CR there may have met a LF) to the end of its last line.
        """
        first = max(0, self.line_of(start) - 1)
        after = self.line_of(end) + 1
        self._shift_from(after)
        region_start = self._starts[first]
        region_end = self.start(after) + grown if after < len(self._starts) else len(new_text)
        found = [match.end() for match in _LINE_END.finditer(new_text, region_start, region_end)]
        if after < len(self._starts):
            found.pop()  # the end of the last line is the start of the first one after it
        self._starts[first + 1 : after] = found
        self._shifted_from = first + 1 + len(found)
        self._shift += grown

    def _shift_from(self, line: int) -> None:
        """Move the border of the pending shift to ``line``."""
        for index in range(self._shifted_from, line):
            self._starts[index] += self._shift
        for index in range(line, self._shifted_from):
            self._starts[index] -= self._shift
        self._shifted_from = line
