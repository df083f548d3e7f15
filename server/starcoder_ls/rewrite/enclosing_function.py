"""Finds the function (or class) around an offset by plain rules: indentation in Python, brackets elsewhere.

Limits: a Python string that begins at the left margin ends a function early; a brace in a regular expression, a
preprocessor branch or a macro can mislead; in languages with neither indentation nor braces no function is found.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass

from starcoder_ls.languages.language import Language
from starcoder_ls.languages.table import by_id
from starcoder_ls.rewrite import text_lines

_PYTHON_DEFINITION = re.compile(r"[ \t]*(?:async[ \t]+def|def|class)\b")
_TOKENS = re.compile(
    r"//[^\n]*|/\*.*?(?:\*/|\Z)|\"\"\".*?(?:\"\"\"|\Z)|\"(?:\\.|[^\"\\\n])*\"?|`(?:\\.|[^`\\])*`?"
    r"|'(?:\\[^\n']{1,8}|[^\\'\n])'|[{}();]",
    re.DOTALL,
)
_SINGLE_QUOTED_STRING = re.compile(r"'(?:\\.|[^'\\\n])*+('?)")  # an unfinished one is skipped, not searched again
_CONTROL_STATEMENT = re.compile(
    r"(?:\}\s*)?(?:if|else|for|foreach|while|switch|do|try|catch|finally|match|loop|unsafe|with|namespace|return)\b"
)
_MAX_CHARS, _MAX_TOKENS = 500_000, 50_000
"""In longer texts with braces no function is found: they are generated, and the event loop would be held."""

_FUNCTION_KEYWORD = re.compile(r"\b(?:fn|func|fun|function)\b")
_TYPE_KEYWORD = re.compile(r"\b(?:class|struct|interface|trait|impl|enum|record|object|protocol)\b")
_REST_OF_LINE = re.compile(r"[^\r\n]*")
_BLANKS_AND_COMMENTS = re.compile(r"(?:\s+|//[^\n]*|/\*.*?\*/)*", re.DOTALL)


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
    is_short = len(text) <= _MAX_CHARS
    return _find_by_braces(text, offset, language) if language.function_rule == "braces" and is_short else None


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


@dataclass(slots=True)
class _Block:
    statement: int  # the offset where the statement before the brace begins
    brace: int


def _find_by_braces(text: str, offset: int, language: Language) -> Span | None:
    quoted = _single_quoted_strings(text) if language.has_single_quoted_strings else {}
    open_blocks, closed_blocks = list[_Block](), list[tuple[_Block, int]]()
    statement, depth, position = 0, 0, 0
    for _ in range(_MAX_TOKENS):
        match = _TOKENS.search(text, position)
        if match is None:
            return _innermost(text, offset, closed_blocks, language)
        position = match.end()
        token = match[0]
        if (string_end := quoted.get(match.start())) is not None and string_end > position:
            position = string_end
        elif token in "()":
            depth = max(0, depth + (1 if token == "(" else -1))
        elif token == "{":
            open_blocks.append(_Block(statement, match.start()))
            statement, depth = position, 0
        elif token == "}":
            if open_blocks:
                closed_blocks.append((open_blocks.pop(), position))
            statement, depth = position, 0
        elif token == ";" and depth == 0:
            statement = position
    return None


def _single_quoted_strings(text: str) -> dict[int, int]:
    """The ends of the strings by their starts."""
    return {match.start(): match.end() for match in _SINGLE_QUOTED_STRING.finditer(text) if match[1]}


def _innermost(text: str, offset: int, blocks: list[tuple[_Block, int]], language: Language) -> Span | None:
    """The shortest function that contains ``offset``; the shortest type if there is no function."""
    candidates: list[tuple[bool, int, Span]] = []
    for block, end in blocks:
        start = _head_start(text, block, language)
        line_start = max(text.rfind("\n", 0, start), text.rfind("\r", 0, start)) + 1
        head = text[start : block.brace]
        is_function = ("(" in head or _FUNCTION_KEYWORD.search(head)) and not _CONTROL_STATEMENT.match(head)
        is_type = bool(_TYPE_KEYWORD.search(head)) and not is_function
        if (is_function or is_type) and line_start <= offset <= end:
            tail = _REST_OF_LINE.match(text, end)
            candidates.append((is_type, end - line_start, Span(line_start, tail.end() if tail else end)))
    return min(candidates, key=lambda candidate: candidate[:2])[2] if candidates else None


def _head_start(text: str, block: _Block, language: Language) -> int:
    """The first code after the previous statement; if semicolons are optional, the line that names the block."""
    skipped = _BLANKS_AND_COMMENTS.match(text, block.statement, block.brace)
    start = skipped.end() if skipped else block.statement
    if not language.has_optional_semicolons:
        return start
    lines = text_lines.split_lines(text[start : block.brace])
    head = ""
    while lines and (not _is_head(head) or head.count(")") > head.count("(") or lines[-1].lstrip().startswith("@")):
        head = lines.pop() + head
    return block.brace - len(head)


def _is_head(text: str) -> bool:
    return "(" in text or bool(_FUNCTION_KEYWORD.search(text) or _TYPE_KEYWORD.search(text))
