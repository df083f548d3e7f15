"""The start offsets of a text's lines, updated with each edit.

A line ends with LF, CR LF or CR, as in LSP; ``str.splitlines`` knows more line ends.
"""

from __future__ import annotations

import re
from array import array
from bisect import bisect_right

_LINE_END = re.compile(r"\r\n?|\n")


class Lines:
    """Start offsets of all lines, with one pending shift.

    The offset of line i, from ``_shifted_from`` on, is ``_starts[i] + _shift``. A key stroke shifts all lines below the
    cursor: with the pending shift it takes constant time, and editing elsewhere takes time for the lines between.
    """

    __slots__ = ("_shift", "_shifted_from", "_starts")

    def __init__(self, text: str) -> None:
        self._starts = array("q", [0])
        self._starts.extend(match.end() for match in _LINE_END.finditer(text))
        self._shifted_from = len(self._starts)
        self._shift = 0

    def __len__(self) -> int:
        return len(self._starts)

    def start(self, line: int) -> int:
        """The offset at which ``line`` starts."""
        offset = self._starts[line]
        return offset + self._shift if line >= self._shifted_from else offset

    def span(self, line: int, text: str) -> tuple[int, int]:
        """Start of ``line`` and end of its content, without its line end."""
        start = self.start(line)
        if line + 1 == len(self._starts):
            return start, len(text)
        end = self.start(line + 1) - 1
        if text[end] == "\n" and end > start and text[end - 1] == "\r":
            end -= 1
        return start, end

    def line_of(self, offset: int) -> int:
        """The line that contains ``offset``."""
        first_shifted = self._shifted_from
        if first_shifted < len(self._starts) and offset >= self.start(first_shifted):
            return bisect_right(self._starts, offset - self._shift, first_shifted) - 1
        return bisect_right(self._starts, offset, 0, first_shifted) - 1

    def replace(self, start: int, end: int, new_text: str, growth: int) -> None:
        """Apply an edit of [start, end). ``new_text`` is the whole text after it, ``growth`` the change of its length.

        Searches only the new text and the character on each side, with which it may form one line end: a line can be
        long.
        """
        first = self.line_of(start)
        if first == 0 or self.start(first) < start:
            first += 1
        after = max(first, self.line_of(end) + 1)
        self._shift_from(after)
        new_end = end + growth
        ends = (match.end() for match in _LINE_END.finditer(new_text, max(0, start - 1), new_end + 1))
        starts = array("q", (offset for offset in ends if start <= offset <= new_end))
        self._starts[first:after] = starts
        self._shifted_from = first + len(starts)
        self._shift += growth

    def _shift_from(self, line: int) -> None:
        """Let the pending shift begin at ``line``."""
        for index in range(self._shifted_from, line):
            self._starts[index] += self._shift
        for index in range(line, self._shifted_from):
            self._starts[index] -= self._shift
        self._shifted_from = line
