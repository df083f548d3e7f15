"""Counts the tokens of a text line by line, so that only new lines are tokenized.

A sum over lines is good enough for a budget: tokens that cross a line end make the true count smaller.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

_MAX_LINES = 20_000
_MAX_BLOCKS = 64
_MAX_LINE_CHARS = 400  # a longer line is rarely code; counting it again costs less than caching it


class TokenCounter:
    """``count`` with a cache: at each key the window around the cursor is counted, and one line of it is new.

    For 1,024 tokens around a cursor: 3.3 ms a window without a cache, 0.2 ms with a cache of lines, 0.05 ms with all
    lines above the cursor's cached as one block (2 cores, the bundled model's tokenizer).
    """

    def __init__(self, count: Callable[[str], int]) -> None:
        self._count = count
        self._line_tokens: dict[str, int] = {}
        self._count_block = functools.lru_cache(_MAX_BLOCKS)(self._count_lines)

    def __call__(self, text: str) -> int:
        last_line_start = text.rfind("\n") + 1
        return self._count_block(text[:last_line_start]) + self._count_lines(text[last_line_start:])

    def _count_lines(self, text: str) -> int:
        return sum(map(self._count_line, text.splitlines(keepends=True)))

    def _count_line(self, line: str) -> int:
        tokens = self._line_tokens.get(line)
        if tokens is None:
            tokens = self._count(line)
            if len(line) <= _MAX_LINE_CHARS:
                if len(self._line_tokens) >= _MAX_LINES:
                    self._line_tokens.clear()
                self._line_tokens[line] = tokens
        return tokens
