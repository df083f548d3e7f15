"""The patterns of one .gitignore, matched exactly as git does, in time linear in the patterns and the path.

Literal lines are looked up in a dict; ``wildcards`` matches the others. Patterns beyond the limits are refused. (RE2
takes 117 µs to compile one pattern and refuses a set of 10,000; this takes 12 µs.)
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable

from starcoder_ls.gitignore.wildcards import WildcardPattern, parse_line

MAX_BYTES = 256 * 1024
"""Of one file. Reading that much takes 20 ms."""
MAX_WILDCARD_LINES = 2000
MAX_WILDCARD_CHARS, MAX_WILDCARD_LINE_CHARS = 40_000, 1024
"""Of all lines with wildcards, and of one. A longer line without wildcards is longer than any path."""
MAX_BRACKETS = 1000
MAX_COST = 5000
"""Of the lines with wildcards together, for each path: 1 for a line and for each wildcard, about 0.3 µs."""

_BYTES_PER_LINE, _BYTES_PER_PATTERN = 200, 2000
"""What Python's objects take, at most."""

_BOM = b"\xef\xbb\xbf"
_SPECIAL = re.compile(r"[*?\[\\]")
_SPECIAL_OR_TRAILING_SPACE = re.compile(r"[*?\[\\]| $", re.M)


class PatternsTooComplex(ValueError):
    """Matching these patterns could take too long. The message says which limit they exceed."""


class IgnorePatterns:
    """The patterns of one .gitignore, in its order. ``content`` is that of the file, with or without a BOM.

    Bytes are compared, as git does. Lines that are no valid patterns match nothing. Raises PatternsTooComplex.
    """

    def __init__(self, content: bytes) -> None:
        if len(content) > MAX_BYTES:
            raise PatternsTooComplex(f"more than {MAX_BYTES >> 10} KB")
        text = (content.removeprefix(_BOM) + b"\n").decode("latin-1").replace("\r\n", "\n")
        if "\0" in text:  # git's lines end there
            text = re.sub(r"\0[^\n]*", "", text)
        lines = text.split("\n")
        self._lines = dict(zip(lines, range(len(lines)), strict=True))  # of equal lines the last counts
        self._patterns: list[WildcardPattern] = []
        self.cost = 0
        for line in _special_lines(text):
            for pattern in parse_line(line, self._lines[line]):
                self._patterns.append(pattern)
                self.cost += pattern.cost
        if self.cost > MAX_COST:
            raise PatternsTooComplex("too many wildcards")
        self._patterns.sort(key=lambda pattern: -pattern.line)
        self.bytes = len(content)
        self.memory_bytes = _BYTES_PER_LINE * len(self._lines) + _BYTES_PER_PATTERN * len(self._patterns) + self.bytes

    @classmethod
    def of_lines(cls, lines: Iterable[str]) -> IgnorePatterns:
        """Patterns of settings, where each is one line. Raises PatternsTooComplex."""
        return cls("\n".join(line.partition("\n")[0] for line in lines).encode("utf-8", "surrogateescape"))

    def match(self, path: str, is_folder: bool = False) -> bool | None:
        """What the last pattern that matches ``path`` says: True excludes, False (``!``) includes; None if none does.

        ``path`` is relative to the folder of the patterns, with ``/``. The folders above it are not tested.
        """
        return _verdict(self._last_match(_encode(path), is_folder))

    def match_with_folders(self, *paths: str, is_folder: bool = False) -> bool | None:
        """As ``match``, where a pattern that matches a folder above a path also matches the path.

        Several ``paths`` are those of one file, relative to several folders: a pattern has to match one of them.
        """
        matches = [self._last_match_with_folders(_encode(path), is_folder) for path in paths]
        return _verdict(max(matches, default=(-1, False)))

    def _last_match_with_folders(self, path: str, is_folder: bool) -> tuple[int, bool]:
        ends = [index for index, char in enumerate(path) if char == "/"]
        return max((*(self._last_match(path[:end], True) for end in ends), self._last_match(path, is_folder)))

    def _last_match(self, path: str, is_folder: bool) -> tuple[int, bool]:
        """Line number and whether it excludes; -1 if no line matches."""
        names = path.split("/")
        best, excludes = -1, False
        for line in _literal_lines(path, names[-1], is_folder):
            if line[0] not in "#!" and (index := self._lines.get(line, -1)) > best:
                best, excludes = index, True
            if (index := self._lines.get(f"!{line}", -1)) > best:
                best, excludes = index, False
        for pattern in self._patterns:
            if pattern.line < best:
                break
            if pattern.matches(names, is_folder):
                return pattern.line, not pattern.is_negative
        return best, excludes


def _special_lines(text: str) -> list[str]:
    """The lines with wildcards, backslashes or spaces at the end. Raises PatternsTooComplex."""
    lines: dict[str, None] = {}
    found = _SPECIAL_OR_TRAILING_SPACE.search(text)
    chars = brackets = 0
    while found:
        start, end = text.rfind("\n", 0, found.start()) + 1, text.index("\n", found.start())
        if text[start] != "#":
            if end - start > MAX_WILDCARD_LINE_CHARS:
                raise PatternsTooComplex(f"a line with wildcards of more than {MAX_WILDCARD_LINE_CHARS} characters")
            line = text[start:end]
            chars += len(line)
            brackets += line.count("[")
            lines[line] = None
            if len(lines) > MAX_WILDCARD_LINES or chars > MAX_WILDCARD_CHARS or brackets > MAX_BRACKETS:
                raise PatternsTooComplex("too many lines with wildcards")
        found = _SPECIAL_OR_TRAILING_SPACE.search(text, end)
    return list(lines)


def _encode(path: str) -> str:
    """One character for each byte. Python's paths hold bytes that are not UTF-8 as surrogates."""
    return os.fsencode(path).decode("latin-1") if not path.isascii() else path


def _verdict(match: tuple[int, bool]) -> bool | None:
    return match[1] if match[0] >= 0 else None


def _literal_lines(path: str, name: str, is_folder: bool) -> list[str]:
    """The lines without wildcards that match ``path``."""
    lines = [line for line in ((name, f"/{path}", path) if "/" in path else (name, f"/{path}")) if line]
    if _SPECIAL.search(path):
        lines = [line for line in lines if not _SPECIAL.search(line)]
    if is_folder:
        lines += [f"{line}/" for line in lines]
    return [line for line in lines if line[-1] != " "]
