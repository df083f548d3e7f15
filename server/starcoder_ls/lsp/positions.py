"""Conversion between LSP columns, in every position encoding, and indices of a Python string, within one line."""

from __future__ import annotations

import enum
import re
from collections.abc import Iterable

from starcoder_ls.errors import DocumentOutOfSync


class Encoding(enum.StrEnum):
    """The units of ``Position.character`` (LSP 3.18, ``PositionEncodingKind``)."""

    UTF_8 = "utf-8"
    UTF_16 = "utf-16"
    UTF_32 = "utf-32"


_ASTRAL = re.compile("[\U00010000-\U0010ffff]")
# A lone surrogate is legal in JSON ("\ud83d"); it counts as one UTF-16 unit and, as in WTF-8, as three bytes.
_SURROGATES = "surrogatepass"


def negotiate(offered: Iterable[object]) -> Encoding:
    """The client's first known encoding, else UTF-16, which every client supports."""
    known = set(Encoding)
    for name in offered:
        if isinstance(name, str) and name in known:
            return Encoding(name)
    return Encoding.UTF_16


def to_chars(line: str, units: int, encoding: Encoding) -> int:
    """Number of characters of ``line`` before the column ``units``; a column past the end means the end.

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
            raise DocumentOutOfSync(_inside_character(units, encoding))
        wide_before += 1
    return min(units - wide_before, len(line))


def to_units(line: str, chars: int, encoding: Encoding) -> int:
    """The column, in units of ``encoding``, after the first ``chars`` characters of ``line``."""
    if encoding is Encoding.UTF_32 or line.isascii():
        return chars
    if encoding is Encoding.UTF_8:
        return len(line[:chars].encode("utf-8", _SURROGATES))
    return chars + sum(1 for _ in _ASTRAL.finditer(line, 0, chars))


def _chars_of_utf8(line: str, units: int) -> int:
    raw = line.encode("utf-8", _SURROGATES)
    if units >= len(raw):
        return len(line)
    if raw[units] & 0xC0 == 0x80:  # a continuation byte
        raise DocumentOutOfSync(_inside_character(units, Encoding.UTF_8))
    return len(raw[:units].decode("utf-8", _SURROGATES))


def _inside_character(units: int, encoding: Encoding) -> str:
    return f"Column {units} in {encoding} lies inside a character. Open the file again."
