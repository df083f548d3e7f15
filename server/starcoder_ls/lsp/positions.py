"""Columns of the protocol <-> columns of a Python string, in every position encoding.

Decides what a character count of an editor means within one line. Refuses to know lines, documents, or who asks.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterable

from starcoder_ls.errors import DocumentOutOfSync


class Encoding(enum.StrEnum):
    """What ``Position.character`` counts (LSP 3.18, ``PositionEncodingKind``)."""

    UTF_8 = "utf-8"
    UTF_16 = "utf-16"
    UTF_32 = "utf-32"


_ASTRAL = re.compile("[\U00010000-\U0010ffff]")
# A lone surrogate is legal in JSON ("\ud83d"); it counts as one UTF-16 unit and, as in WTF-8, as three bytes.
_LONE = "surrogatepass"


def negotiated(offered: Iterable[object]) -> Encoding:
    """The client's first encoding that we know; UTF-16 is what every client must understand."""
    known = set(Encoding)
    for name in offered:
        if isinstance(name, str) and name in known:
            return Encoding(name)
    return Encoding.UTF_16


def to_chars(line: str, units: int, encoding: Encoding) -> int:
    """Characters of ``line`` before the column ``units``; a column past the end means the end.

    Raises DocumentOutOfSync for a column inside a character.
    """
    if encoding is Encoding.UTF_32 or line.isascii():
        return min(units, len(line))
    if encoding is Encoding.UTF_8:
        return _chars_of_utf8(line, units)
    wide_before = 0
    for match in _ASTRAL.finditer(line):
        column = match.start() + wide_before
        if column >= units:
            break
        if column + 1 == units:
            raise DocumentOutOfSync(_split(units, encoding))
        wide_before += 1
    return min(units - wide_before, len(line))


def to_units(line: str, chars: int, encoding: Encoding) -> int:
    """The column, in units of ``encoding``, before which ``chars`` characters of ``line`` stand."""
    if encoding is Encoding.UTF_32 or line.isascii():
        return chars
    if encoding is Encoding.UTF_8:
        return len(line[:chars].encode("utf-8", _LONE))
    return chars + sum(1 for _ in _ASTRAL.finditer(line, 0, chars))


def _chars_of_utf8(line: str, units: int) -> int:
    raw = line.encode("utf-8", _LONE)
    if units >= len(raw):
        return len(line)
    if raw[units] & 0xC0 == 0x80:  # a continuation byte
        raise DocumentOutOfSync(_split(units, Encoding.UTF_8))
    return len(raw[:units].decode("utf-8", _LONE))


def _split(units: int, encoding: Encoding) -> str:
    return f"Column {units} in {encoding} lies inside a character. Open the file again."
