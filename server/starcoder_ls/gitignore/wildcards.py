"""One line of a .gitignore with wildcards: how git reads it, and whether a path matches it.

No regular expressions: the text between two wildcards is found once, at its first position, and never tried again.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

_FLOATING_COST = 100
"""Of a wildcard for one character, or of a folder's name, that is compared at every position."""

_LITERAL_BEFORE_STARS = re.compile(
    r"([^*?\[\\]*[^*?\[\\/])(?:\*{2,}/(?=\*{2,}(?:\\?/|\Z)))*+\*{2,}(?:(\\?/)(.*))?", re.S
)
"""Of several ``**`` in a row, the last one counts."""

_ASCII = frozenset(map(chr, range(128)))
_PRINTABLE = frozenset(map(chr, range(32, 127)))
_ALNUM = frozenset(char for char in _ASCII if char.isalnum())
_CLASSES = {
    "alnum": _ALNUM,
    "alpha": frozenset(filter(str.isalpha, _ASCII)),
    "blank": frozenset(" \t"),
    "cntrl": _ASCII - _PRINTABLE,
    "digit": frozenset("0123456789"),
    "graph": _PRINTABLE - {" "},
    "lower": frozenset(filter(str.islower, _ASCII)),
    "print": _PRINTABLE,
    "punct": _PRINTABLE - _ALNUM - {" "},
    "space": frozenset(" \t\n\r\v\f"),
    "upper": frozenset(filter(str.isupper, _ASCII)),
    "xdigit": frozenset("0123456789abcdefABCDEF"),
}
_ANY = frozenset(map(chr, range(256))) - {"/"}

_Piece = str | tuple[frozenset[str], ...]
"""Text between two ``*`` of a name: literal, or the allowed characters of each position."""
_Name = tuple[_Piece, ...]
"""One name of a path: its pieces, with a ``*`` between each two."""


@dataclass(frozen=True, slots=True)
class WildcardPattern:
    """A line with wildcards. ``groups`` are names with a ``**`` between each two groups."""

    line: int
    is_negative: bool
    is_folder_only: bool
    is_basename: bool
    groups: tuple[tuple[_Name, ...], ...]

    @property
    def cost(self) -> int:
        """Of one path, in units of about 0.3 µs: 1 for the pattern and for each wildcard, more where it may float."""
        cost = 1
        for number, group in enumerate(self.groups):
            is_floating = 0 < number < len(self.groups) - 1
            for pieces in group:
                cost_of_name = len(pieces) + sum(
                    _FLOATING_COST * len(piece) for piece in pieces[1:-1] if not isinstance(piece, str)
                )
                cost += cost_of_name * (_FLOATING_COST if is_floating else 1)
        return cost

    def matches(self, names: Sequence[str], is_folder: bool) -> bool:
        if self.is_folder_only and not is_folder:
            return False
        if self.is_basename:
            return _matches_name(self.groups[0][0], names[-1])
        first, *others = self.groups
        if not others:
            return len(first) == len(names) and _matches_names(first, names, 0)
        last = others.pop()
        end = len(names) - max(1, len(last))  # a final ** needs at least one name
        if end < len(first) or not _matches_names(first, names, 0):
            return False
        if not _matches_names(last, names, len(names) - len(last)):
            return False
        start = len(first)
        limit = len(names) - max(1, len(last))
        for group in others:  # the first position is the best: what follows may start anywhere behind it
            while start + len(group) <= limit and not _matches_names(group, names, start):
                start += 1
            if start + len(group) > limit:
                return False
            start += len(group)
        return True


def parse_line(line: str, number: int) -> Iterator[WildcardPattern]:
    """One pattern; two where git reads the line in two ways; none if no path can match."""
    line = _strip_trailing_spaces(line)
    is_negative = line.startswith("!")
    line = line[is_negative:]
    is_folder_only = line.endswith("/")
    line = line[: len(line) - is_folder_only]
    is_basename = "/" not in line
    line = line.removeprefix("/")
    if not line:
        return
    variants = [line]
    if not is_basename and (match := _LITERAL_BEFORE_STARS.fullmatch(line)):  # git skips the literal text first
        literal, slash, rest = match.groups()
        if slash is None:
            variants = [f"{literal}*", f"{literal}*/**"]
        else:
            variants = [*([literal + rest] if slash == "/" else []), f"{literal}*/**/{rest}"]
    for variant in variants:
        with contextlib.suppress(_InvalidPattern):
            yield WildcardPattern(number, is_negative, is_folder_only, is_basename, _parse_groups(variant, is_basename))


def _parse_groups(line: str, is_basename: bool) -> tuple[tuple[_Name, ...], ...]:
    """Raises _InvalidPattern."""
    groups: list[list[_Name]] = [[]]
    for raw_name in _split_names(line):
        if not is_basename and raw_name == "**/":  # before an escaped slash: one folder or more
            groups.append([_parse_name("*")])
        elif not is_basename and len(raw_name) > 1 and not raw_name.strip("*"):
            groups.append([])
        else:
            groups[-1].append(_parse_name(raw_name))
    if len(groups) > 2:  # of several ** in a row one is enough
        groups = [groups[0], *filter(None, groups[1:-1]), groups[-1]]
    return tuple(map(tuple, groups))


def _strip_trailing_spaces(line: str) -> str:
    """Without the spaces at the end that no backslash escapes."""
    stripped = line.rstrip(" ")
    backslashes = len(stripped) - len(stripped.rstrip("\\"))
    return stripped + " " if backslashes % 2 and stripped != line else stripped


class _InvalidPattern(Exception):
    """Git lets this pattern match nothing."""


def _split_names(pattern: str) -> Iterator[str]:
    """The names between slashes that are not in brackets; ``**/`` for a ``**`` before an escaped slash."""
    start = index = 0
    while index < len(pattern):
        char = pattern[index]
        if char == "/" or pattern.startswith("\\/", index):
            name = pattern[start:index]
            yield "**/" if char != "/" and len(name) > 1 and not name.strip("*") else name
            index += 1 if char == "/" else 2
            start = index
        elif char == "\\":
            index += 2
        elif char == "[":
            index = _parse_set(pattern, index)[1]
        else:
            index += 1
    yield pattern[start:]


def _parse_name(raw: str) -> _Name:
    """Raises _InvalidPattern."""
    pieces: list[_Piece] = []
    piece: list[str | frozenset[str]] = []
    index = 0
    while index < len(raw):
        char = raw[index]
        if char == "*":
            pieces.append(_as_piece(piece))
            piece = []
            index += len(raw[index:]) - len(raw[index:].lstrip("*"))
            continue
        if char == "?":
            piece.append(_ANY)
        elif char == "[":
            allowed, index = _parse_set(raw, index)
            piece.append(allowed)
            continue
        elif char == "\\":
            index += 1
            if index == len(raw):
                raise _InvalidPattern
            piece.append(raw[index])
        else:
            piece.append(char)
        index += 1
    pieces.append(_as_piece(piece))
    return tuple(pieces)


def _as_piece(parts: Sequence[str | frozenset[str]]) -> _Piece:
    if all(isinstance(part, str) for part in parts):
        return "".join(map(str, parts))
    return tuple(frozenset(part) for part in parts)


def _parse_set(pattern: str, start: int) -> tuple[frozenset[str], int]:
    """The characters that the brackets at ``start`` allow, and the index behind them. Raises _InvalidPattern."""
    index = start + 1
    is_negative = pattern[index : index + 1] in ("!", "^") and index < len(pattern)
    index += is_negative
    chars: set[str] = set()
    previous = ""
    is_first = True
    while is_first or pattern[index : index + 1] != "]":
        is_first = False
        if index >= len(pattern):
            raise _InvalidPattern
        char = pattern[index]
        following = pattern[index + 1 : index + 2]
        if char == "-" and previous and following not in ("", "]"):
            index += 1 + (following == "\\")
            if index >= len(pattern):
                raise _InvalidPattern
            chars.update(map(chr, range(ord(previous), ord(pattern[index]) + 1)))
            previous = ""
        elif char == "[" and following == ":":
            end = pattern.find("]", index + 2)
            if end < 0:
                raise _InvalidPattern
            if end == index + 2 or pattern[end - 1] != ":":
                chars.add("[")
                previous = "["
            else:
                chars |= _class_chars(pattern[index + 2 : end - 1])
                previous, index = "", end
        else:
            index += char == "\\"
            if index >= len(pattern):
                raise _InvalidPattern
            previous = pattern[index]
            chars.add(previous)
        index += 1
    return frozenset(_ANY - chars if is_negative else _ANY & chars), index + 1


def _class_chars(name: str) -> frozenset[str]:
    if name not in _CLASSES:
        raise _InvalidPattern
    return _CLASSES[name]


def _matches_names(patterns: Sequence[_Name], names: Sequence[str], start: int) -> bool:
    return all(_matches_name(pattern, names[start + offset]) for offset, pattern in enumerate(patterns))


def _matches_name(pieces: _Name, name: str) -> bool:
    first = pieces[0]
    if len(pieces) == 1:
        return len(first) == len(name) and _matches_at(first, name, 0)
    last = pieces[-1]
    position, end = len(first), len(name) - len(last)
    if position > end or not _matches_at(first, name, 0) or not _matches_at(last, name, end):
        return False
    for piece in pieces[1:-1]:  # the first occurrence is the best: a * follows
        position = _find(piece, name, position, end)
        if position < 0:
            return False
        position += len(piece)
    return True


def _matches_at(piece: _Piece, name: str, position: int) -> bool:
    if isinstance(piece, str):
        return name.startswith(piece, position)
    return all(name[position + offset] in allowed for offset, allowed in enumerate(piece))


def _find(piece: _Piece, name: str, start: int, end: int) -> int:
    """The first position of ``piece`` within ``name[start:end]``; -1 if there is none."""
    if isinstance(piece, str):
        return name.find(piece, start, end)
    positions = range(start, end - len(piece) + 1)
    return next((position for position in positions if _matches_at(piece, name, position)), -1)
