"""Tokens of a text, line by line, so that what was counted before costs a look-up.

Decides that a sum over lines is good enough for a budget: tokens that cross a line end make the true count smaller.
Refuses to know vocabularies.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

_MAX_LINES = 20_000
_MAX_BLOCKS = 64
_MAX_LINE_CHARS = 400  # a longer one is no line of code; counting it anew costs less than keeping it


class TokenCounter:
    """``count`` with a memory: windows of a document are asked about at each key, and one line of them is new.

    1,024 tokens around a cursor: 3.3 ms a window without, 0.2 ms with lines remembered, 0.05 with all lines above the
    cursor's as one (2 cores, bundled vocabulary).
    """

    def __init__(self, count: Callable[[str], int]) -> None:
        self._count = count
        self._known: dict[str, int] = {}
        self._block = functools.lru_cache(_MAX_BLOCKS)(self._lines)

    def __call__(self, text: str) -> int:
        cut = text.rfind("\n") + 1
        return self._block(text[:cut]) + self._lines(text[cut:])

    def _lines(self, text: str) -> int:
        return sum(map(self._line, text.splitlines(keepends=True)))

    def _line(self, line: str) -> int:
        tokens = self._known.get(line)
        if tokens is None:
            tokens = self._count(line)
            if len(line) <= _MAX_LINE_CHARS:
                if len(self._known) >= _MAX_LINES:
                    self._known.clear()
                self._known[line] = tokens
        return tokens
