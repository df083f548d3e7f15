"""A text cut into the lines that an editor shows, and how those lines are indented and ended.

Decides what the file's own habits are. Refuses to know languages, models and edits.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from math import gcd

_LINE_END = re.compile(r"\r\n?|\n")
_INDENT = re.compile(r"[ \t]*")
_SPACES_PER_TAB = 4


def split(text: str) -> list[str]:
    """Lines with their ends; LSP's three kinds of end and no other. The last one may have none, and is never empty."""
    lines, start = [], 0
    for match in _LINE_END.finditer(text):
        lines.append(text[start : match.end()])
        start = match.end()
    return [*lines, text[start:]] if start < len(text) else lines


def line_end(text: str) -> str:
    """The line end used most; a line feed where there is none."""
    counted = Counter(_LINE_END.findall(text))
    return counted.most_common(1)[0][0] if counted else "\n"


def indent(line: str) -> str:
    """The blanks that a line begins with."""
    found = _INDENT.match(line)
    return found[0] if found else ""


def is_blank(line: str) -> bool:
    return not line.strip()


def unit(text: str) -> str:
    """One step of indentation as the file has it: a tab, or so many spaces; four where nothing is indented."""
    indents = [indent(line) for line in split(text) if not is_blank(line)]
    if any(blanks.startswith("\t") for blanks in indents):
        return "\t"
    widths = Counter(len(blanks) for blanks in indents if blanks)
    if not widths:
        return " " * 4
    common = [width for width, number in widths.items() if number * 20 >= sum(widths.values())]
    step = gcd(*common)
    return " " * (step if step > 1 else 4)


def margin(lines: Sequence[str]) -> str:
    """The blanks that all lines with something on them begin with."""
    indents = [indent(line) for line in lines if not is_blank(line)]
    shared = min(indents, key=len, default="")
    while not all(blanks.startswith(shared) for blanks in indents):
        shared = shared[:-1]
    return shared


def without_margin(lines: Sequence[str]) -> list[str]:
    shared = len(margin(lines))
    return ["" if is_blank(line) else line[shared:] for line in lines]


def in_unit(lines: Sequence[str], step: str) -> list[str]:
    """``lines`` (without margin) with their own step of indentation replaced by ``step``.

    Only where every indent is a multiple of it: alignment under a bracket stays as it is.
    """
    own = unit("\n".join(lines))
    if own == step:
        return list(lines)
    return [_stepped(line, own, step) for line in lines]


def _stepped(line: str, own: str, step: str) -> str:
    blanks = indent(line)
    if own == "\t":
        depth, rest = blanks.count("\t"), blanks.replace("\t", "")
        return step * depth + rest + line[len(blanks) :]
    width = len(blanks.expandtabs(_SPACES_PER_TAB))
    depth, over = divmod(width, len(own))
    return step * depth + " " * over + line[len(blanks) :]
