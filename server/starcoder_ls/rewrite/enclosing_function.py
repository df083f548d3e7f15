"""Finds the function (or class) around an offset by plain rules: indentation in Python, braces elsewhere.

A Python string that begins at the left margin ends a function early. In languages with neither indentation nor braces
no function is found.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass

from starcoder_ls.languages.table import by_id
from starcoder_ls.rewrite import text_lines
from starcoder_ls.rewrite.function_in_braces import find_in_braces

_PYTHON_DEFINITION = re.compile(r"[ \t]*(?:async[ \t]+def|def|class)\b")


@dataclass(frozen=True, slots=True)
class Span:
    """Offsets of whole lines: ``start`` is the first character of a line, ``end`` follows the last line's content."""

    start: int
    end: int


def find_enclosing_function(text: str, offset: int, language_id: str) -> Span | None:
    """The innermost function around ``offset`` with its decorators; a class if there is no function; else None."""
    language = by_id(language_id)
    if language.function_rule == "indentation":
        return _find_by_indentation(text, offset)
    found = find_in_braces(text, offset, language) if language.function_rule == "braces" else None
    return Span(*found) if found else None


def _find_by_indentation(text: str, offset: int) -> Span | None:
    lines = text_lines.split_lines(text)
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line))
    cursor_line = max(0, bisect_right(starts, offset, 0, max(len(lines), 1)) - 1)
    definition = _find_definition(lines, cursor_line) if lines else None
    if definition is None:
        return None
    indentation = text_lines.indentation_of(lines[definition])
    first = definition
    while (
        first > 0
        and lines[first - 1].lstrip().startswith("@")
        and text_lines.indentation_of(lines[first - 1]) == indentation
    ):
        first -= 1
    last = _last_line_of(lines, definition)
    if cursor_line > last:
        return None
    return Span(starts[first], starts[last] + len(lines[last].rstrip("\r\n")))


def _find_definition(lines: list[str], cursor_line: int) -> int | None:
    """The line of the ``def`` or ``class`` that the cursor is on, on a decorator of, or inside."""
    below = cursor_line
    while below < len(lines) and lines[below].lstrip().startswith("@"):
        below += 1
    if below < len(lines) and _PYTHON_DEFINITION.match(lines[below]):
        return below
    while cursor_line > 0 and (cursor_line >= len(lines) or text_lines.is_blank(lines[cursor_line])):
        cursor_line -= 1
    min_width = len(text_lines.indentation_of(lines[cursor_line]))
    for number in range(cursor_line, -1, -1):
        line = lines[number]
        width = len(text_lines.indentation_of(line))
        if text_lines.is_blank(line) or line.lstrip().startswith("#"):
            continue
        is_outer = width < min_width or number == cursor_line
        if _PYTHON_DEFINITION.match(line) and is_outer and cursor_line <= _last_line_of(lines, number):
            return number
        min_width = min(min_width, width + 1 if line.lstrip().startswith((")", "]", "}")) else width)
    return None


def _last_line_of(lines: list[str], definition: int) -> int:
    """The last nonblank line that is indented deeper than the definition, or is inside its signature's brackets."""
    width, last = len(text_lines.indentation_of(lines[definition])), definition
    for number in range(definition + 1, len(lines)):
        if text_lines.is_blank(lines[number]):
            continue
        is_closing = lines[number].lstrip().startswith((")", "]", "}"))
        if len(text_lines.indentation_of(lines[number])) < width + (not is_closing):
            break
        last = number
    return last
