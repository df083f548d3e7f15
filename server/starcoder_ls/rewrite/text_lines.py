"""Splits a text into the lines that an editor shows, and handles their line ends and indentation."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

_LINE_END = re.compile(r"\r\n?|\n")
_INDENTATION = re.compile(r"[ \t]*")


def split_lines(text: str) -> list[str]:
    """The lines with their line ends, of which LSP has three. Only the last may have none; no line is empty."""
    lines, start = [], 0
    for match in _LINE_END.finditer(text):
        lines.append(text[start : match.end()])
        start = match.end()
    return [*lines, text[start:]] if start < len(text) else lines


def dominant_line_end(text: str) -> str:
    """The line end that is used most; a line feed if the text has none."""
    counts = Counter(_LINE_END.findall(text))
    return counts.most_common(1)[0][0] if counts else "\n"


def indentation_of(line: str) -> str:
    """The blanks and tabs that ``line`` begins with."""
    found = _INDENTATION.match(line)
    return found[0] if found else ""


def is_blank(line: str) -> bool:
    return not line.strip()


def indent_unit(lines: Sequence[str]) -> str:
    """One level of indentation: the smallest that a line of ``lines`` (dedented) has; empty if none is indented."""
    indentations = [blanks for line in lines if not is_blank(line) and (blanks := indentation_of(line))]
    if any(blanks.startswith("\t") for blanks in indentations):
        return "\t"
    return min(indentations, key=len, default="")


def common_indentation(lines: Sequence[str]) -> str:
    """The indentation that all lines share; blank lines do not count."""
    indentations = [indentation_of(line) for line in lines if not is_blank(line)]
    common = min(indentations, key=len, default="")
    while not all(blanks.startswith(common) for blanks in indentations):
        common = common[:-1]
    return common


def dedent(lines: Sequence[str]) -> list[str]:
    """``lines`` without their common indentation."""
    length = len(common_indentation(lines))
    return ["" if is_blank(line) else line[length:] for line in lines]
