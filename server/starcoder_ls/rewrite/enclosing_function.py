"""Which function (or class) a place is in, by plain rules: indentation in Python, brackets elsewhere.

Limits: Python strings that begin at the margin end a function early; a brace in a regular expression literal, in
a preprocessor branch or in a macro can mislead; languages with neither indentation nor braces have no functions here.
Refuses to know editors.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass

from starcoder_ls.languages.language import Language
from starcoder_ls.languages.table import by_id
from starcoder_ls.rewrite import text_lines

_PYTHON_HEAD = re.compile(r"[ \t]*(?:async[ \t]+def|def|class)\b")
_TOKENS = re.compile(
    r"//[^\n]*|/\*.*?(?:\*/|\Z)|\"\"\".*?(?:\"\"\"|\Z)|\"(?:\\.|[^\"\\\n])*\"?|`(?:\\.|[^`\\])*`?"
    r"|'(?:\\[^\n']{1,8}|[^\\'\n])'|[{}();]",
    re.DOTALL,
)
_SINGLE_QUOTED = re.compile(r"'(?:\\.|[^'\\\n])*'")
_CONTROL = re.compile(
    r"(?:\}\s*)?(?:if|else|for|foreach|while|switch|do|try|catch|finally|match|loop|unsafe|with|namespace|return)\b"
)
_KEYWORD = re.compile(r"\b(?:fn|func|fun|function)\b")
_AFTER_BRACE = re.compile(r"[ \t]*[);,]*")
_OUTER = re.compile(r"\b(?:class|struct|interface|trait|impl|enum|record|object|protocol)\b")
_COMMENTS = re.compile(r"(?:\s+|//[^\n]*|/\*.*?\*/)*", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Span:
    """Offsets of whole lines: ``start`` is a line's first character, ``end`` is after the last line's content."""

    start: int
    end: int


def enclosing(text: str, offset: int, language: str) -> Span | None:
    """The innermost function around ``offset``, with its decorators; a class where there is no function; else None."""
    known = by_id(language)
    if known.function_rule == "indentation":
        return _by_indentation(text, offset)
    return _by_braces(text, offset, known) if known.function_rule == "braces" else None


def _by_indentation(text: str, offset: int) -> Span | None:
    rows = text_lines.split(text)
    starts = [0]
    for row in rows:
        starts.append(starts[-1] + len(row))
    here = max(0, bisect_right(starts, offset, 0, max(len(rows), 1)) - 1)
    head = _head_above(rows, here) if rows else None
    if head is None:
        return None
    first = head
    while (
        first > 0
        and rows[first - 1].lstrip().startswith("@")
        and text_lines.indent(rows[first - 1]) == text_lines.indent(rows[head])
    ):
        first -= 1
    last = _last_row(rows, head)
    if here > last:
        return None
    return Span(starts[first], starts[last] + len(rows[last].rstrip("\r\n")))


def _head_above(rows: list[str], here: int) -> int | None:
    """The row of the `def` that ``here`` belongs to: on it, on a decorator of it, or inside it."""
    below = here
    while below < len(rows) and rows[below].lstrip().startswith("@"):
        below += 1
    if below < len(rows) and _PYTHON_HEAD.match(rows[below]):
        return below
    while here > 0 and (here >= len(rows) or text_lines.is_blank(rows[here])):
        here -= 1
    depth = len(text_lines.indent(rows[here]))
    for row in range(here, -1, -1):
        width = len(text_lines.indent(rows[row]))
        if text_lines.is_blank(rows[row]) or rows[row].lstrip().startswith("#"):
            continue
        if _PYTHON_HEAD.match(rows[row]) and (width < depth or row == here) and here <= _last_row(rows, row):
            return row
        depth = min(depth, width + 1 if rows[row].lstrip().startswith((")", "]", "}")) else width)
    return None


def _last_row(rows: list[str], head: int) -> int:
    """The last row with something on it that is deeper than the `def`, or still inside its signature's brackets."""
    width, last = len(text_lines.indent(rows[head])), head
    for row in range(head + 1, len(rows)):
        if text_lines.is_blank(rows[row]):
            continue
        is_closing = rows[row].lstrip().startswith((")", "]", "}"))
        if len(text_lines.indent(rows[row])) < width + (not is_closing):
            break
        last = row
    return last


@dataclass(slots=True)
class _Block:
    head: int  # where the statement before the brace begins
    brace: int


def _by_braces(text: str, offset: int, language: Language) -> Span | None:
    quotes = _single_quoted(text) if language.has_single_quoted_strings else {}
    blocks, found = list[_Block](), list[tuple[_Block, int]]()
    statement, depth, place = 0, 0, 0
    while match := _TOKENS.search(text, place):
        place = match.end()
        token = match[0]
        if (skipped := quotes.get(match.start())) is not None and skipped > place:
            place = skipped
        elif token in "()":
            depth = max(0, depth + (1 if token == "(" else -1))
        elif token == "{":
            blocks.append(_Block(statement, match.start()))
            statement, depth = place, 0
        elif token == "}":
            if blocks:
                found.append((blocks.pop(), place))
            statement, depth = place, 0
        elif token == ";" and depth == 0:
            statement = place
    return _innermost(text, offset, found, language)


def _single_quoted(text: str) -> dict[int, int]:
    return {match.start(): match.end() for match in _SINGLE_QUOTED.finditer(text)}


def _innermost(text: str, offset: int, found: list[tuple[_Block, int]], language: Language) -> Span | None:
    around: list[tuple[bool, int, Span]] = []
    for block, end in found:
        start = _head_start(text, block, language)
        first = max(text.rfind("\n", 0, start), text.rfind("\r", 0, start)) + 1
        head = text[start : block.brace]
        is_function = ("(" in head or _KEYWORD.search(head)) and not _CONTROL.match(head)
        is_outer = bool(_OUTER.search(head)) and not is_function
        if (is_function or is_outer) and first <= offset <= end:
            tail = _AFTER_BRACE.match(text, end)
            around.append((is_outer, end - first, Span(first, tail.end() if tail else end)))
    return min(around, key=lambda one: one[:2])[2] if around else None


def _head_start(text: str, block: _Block, language: Language) -> int:
    """The first code after the statement before; where statements end with their line, the line that names it."""
    skipped = _COMMENTS.match(text, block.head, block.brace)
    start = skipped.end() if skipped else block.head
    if not language.has_optional_semicolons:
        return start
    rows = text_lines.split(text[start : block.brace])
    head = ""
    while rows and (not _names(head) or head.count(")") > head.count("(") or rows[-1].lstrip().startswith("@")):
        head = rows.pop() + head
    return block.brace - len(head)


def _names(head: str) -> bool:
    return "(" in head or bool(_KEYWORD.search(head) or _OUTER.search(head))
