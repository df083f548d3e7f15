"""Finds the tokens that are compatible with bytes that an answer must begin with.

Bytes, not characters: a character may be split over tokens, none of which has a text of its own.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Sequence

REPLACEMENT_CHARACTER = "\ufffd"
"""The end of a decoded text whose last character still lacks bytes."""


class PrefixIndex:
    """Tokens sorted by their bytes. ``token_bytes`` are those of each id; tokens without bytes are left out."""

    def __init__(self, token_bytes: Sequence[bytes]) -> None:
        self.token_bytes = token_bytes
        pairs = sorted((data, id_) for id_, data in enumerate(token_bytes) if data)
        self._bytes, self._ids = [data for data, _ in pairs], array("q", [id_ for _, id_ in pairs])

    def find_compatible(self, data: bytes) -> array[int]:
        """Return the ids of tokens that ``data`` begins with, and of tokens that begin with ``data``, which is not
        empty."""
        compatible = self._between(data, data[:-1] + bytes([data[-1] + 1]))  # no byte of UTF-8 is 255
        for end in range(1, len(data)):
            compatible += self._between(data[:end], data[:end] + b"\0")
        return compatible

    def _between(self, first: bytes, after: bytes) -> array[int]:
        start = bisect_left(self._bytes, first)
        return self._ids[start : bisect_left(self._bytes, after, start)]
