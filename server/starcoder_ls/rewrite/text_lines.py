"""A text cut into the lines that an editor shows, and how those lines are indented and ended.

Decides what the file's own habits are. Refuses to know languages, models and edits.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

_LINE_END = re.compile(r"\r\n?|\n")
_INDENT = re.compile(r"[ \t]*")
_WIDEST_STEP = 8


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


def step(rows: Sequence[str]) -> str:
    """One step of indentation: the least that a line of ``rows`` (without margin) is indented by; empty if none is."""
    indents = [blanks for row in rows if not is_blank(row) and (blanks := indent(row))]
    if any(blanks.startswith("\t") for blanks in indents):
        return "\t"
    return min(indents, key=len, default="")


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


def in_steps(rows: Sequence[str], wanted: str) -> list[str]:
    """``rows`` (without margin) with their own step of indentation replaced by ``wanted``, where both are plausible.

    What is aligned under a bracket keeps the blanks beyond its last whole step.
    """
    own = step(rows)
    if own == wanted or not 0 < len(own) <= _WIDEST_STEP or not 0 < len(wanted) <= _WIDEST_STEP:
        return list(rows)
    return [_stepped(row, own, wanted) for row in rows]


def _stepped(row: str, own: str, wanted: str) -> str:
    blanks = indent(row)
    if own == "\t":
        depth, rest = blanks.count("\t"), blanks.replace("\t", "")
    else:
        depth, over = divmod(len(blanks.expandtabs(len(own))), len(own))
        rest = " " * over
    return wanted * depth + rest + row[len(blanks) :]
