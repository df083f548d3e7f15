"""Finds the tokens that are compatible with a text that an answer must begin with."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable

REPLACEMENT_CHARACTER = "\ufffd"
"""The end of a decoded text whose last character still lacks bytes."""


class PrefixIndex:
    """Tokens sorted by their text. Those that are no whole characters are left out."""

    def __init__(self, texts: Iterable[tuple[str, int]]) -> None:
        pairs = sorted((text, id_) for text, id_ in texts if text and REPLACEMENT_CHARACTER not in text)
        self._texts, self._ids = [text for text, _ in pairs], array("q", [id_ for _, id_ in pairs])

    def find_compatible(self, text: str) -> array[int]:
        """Return the ids of tokens that ``text`` begins with, and of tokens that begin with ``text``."""
        compatible = self._between(text, text + chr(0x10FFFF))
        for end in range(1, len(text)):
            compatible += self._between(text[:end], text[:end] + "\0")
        return compatible

    def _between(self, first: str, after: str) -> array[int]:
        start = bisect_left(self._texts, first)
        return self._ids[start : bisect_left(self._texts, after, start)]
