"""Finds where holes may begin and end in a file: whole lines of code, blocks, and stretches of code.

Python is parsed by its own parser; every other language is read by its indentation and comment marks. A parser for
another language is added in ``find_boundaries``.
"""

from __future__ import annotations

import ast
import io
import itertools
import re
import tokenize
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from starcoder_ls.languages.table import PYTHON, by_id

Range = tuple[int, int]
"""Two offsets: the first character and the one after the last."""

_MIN_ALPHANUMERIC_CHARS = 4
_MAX_BLOCK_LINES = 12
_TAB_COLUMNS = 4
_COMMENT_LINE = re.compile(
    r"\s*(//|#(?!include|define|if|else|endif|\[|!\[)|/\*|\*(?=[\s/]|$)|--(?=\s)|<!--|;;|%%|\"\"\"|''')"
)
_COMMENT_END = re.compile(r"\*/|-->")


@dataclass(frozen=True, slots=True)
class Boundaries:
    """Ranges in which holes may lie.

    ``lines`` begin after their indentation and end before the line break; lines that end in a comment are left out.
    ``blocks`` are bodies of 2 to 12 lines, from their first statement to the end of the last. ``code`` is everything
    but comments and docstrings: a random span lies in one of these ranges.
    """

    lines: tuple[Range, ...] = ()
    blocks: tuple[Range, ...] = ()
    code: tuple[Range, ...] = ()


def find_boundaries(text: str, language_id: str) -> Boundaries:
    """The boundaries of ``text``. Python that cannot be parsed is treated as other languages are."""
    if by_id(language_id) is PYTHON:
        try:
            return _parse_python(text)
        except (SyntaxError, ValueError, RecursionError, MemoryError, tokenize.TokenError):
            pass
    return _scan_lines(text)


def is_worth_filling(text: str) -> bool:
    """Whether ``text`` has at least four letters or digits: brackets and blanks alone say nothing about a model."""
    return sum(char.isalnum() for char in text) >= _MIN_ALPHANUMERIC_CHARS


def _parse_python(text: str) -> Boundaries:
    tree = ast.parse(text)
    starts = _line_starts(text)
    hidden = [*_docstrings(text, tree, starts), *_comments(text, starts)]
    blocks = []
    for node in ast.walk(tree):
        for name in ("body", "orelse", "finalbody"):
            body = getattr(node, name, None)
            if not isinstance(body, list) or not body or isinstance(node, ast.Module):
                continue
            if _is_elif(text, starts, body):
                continue
            statements = body[1:] if _is_docstring(body[0]) else body
            if statements:
                blocks.append(_statement_range(text, starts, statements[0], statements[-1]))
    return _build_boundaries(text, starts, hidden, blocks)


def _is_elif(text: str, starts: Sequence[int], body: Sequence[ast.stmt]) -> bool:
    """An ``elif`` is an ``if`` in the tree, and has no body of its own in the text."""
    return isinstance(body[0], ast.If) and text.startswith("elif", starts[body[0].lineno - 1] + body[0].col_offset)


def _statement_range(text: str, starts: Sequence[int], first: ast.stmt, last: ast.stmt) -> Range:
    """From the decorators of ``first`` to the end of ``last``."""
    decorators: list[ast.expr] = getattr(first, "decorator_list", [])
    if decorators:
        number = min([first.lineno, *(decorator.lineno for decorator in decorators)])
        line = _line(text, starts, number - 1)
        begin = starts[number - 1] + len(line) - len(line.lstrip())
    else:
        begin = _offset(text, starts, first.lineno, first.col_offset)
    return begin, _offset(text, starts, last.end_lineno or last.lineno, last.end_col_offset or 0)


def _docstrings(text: str, tree: ast.AST, starts: Sequence[int]) -> Iterator[Range]:
    """All strings that are statements."""
    for node in ast.walk(tree):
        if isinstance(node, ast.stmt) and _is_docstring(node):
            yield _statement_range(text, starts, node, node)


def _is_docstring(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _comments(text: str, starts: Sequence[int]) -> Iterator[Range]:
    """``tokenize`` counts columns in characters, ``ast`` in UTF-8 bytes."""
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            begin = starts[token.start[0] - 1] + token.start[1]
            yield begin, begin + len(token.string)


def _offset(text: str, starts: Sequence[int], number: int, column_bytes: int) -> int:
    line = _line(text, starts, number - 1)
    return starts[number - 1] + len(line.encode()[:column_bytes].decode(errors="ignore"))


def _scan_lines(text: str) -> Boundaries:
    """Lines that begin with a comment mark are comments; a block is indented deeper than the line above it."""
    starts = _line_starts(text)
    lines = [_line(text, starts, number) for number in range(len(starts))]
    hidden, is_in_comment = [], False
    for number, line in enumerate(lines):
        if is_in_comment or _COMMENT_LINE.match(line):
            hidden.append((starts[number], starts[number] + len(line)))
            is_open = is_in_comment or line.lstrip().startswith(("/*", "<!--"))
            is_in_comment = is_open and not _COMMENT_END.search(line)
    blocks = []
    for number, line in enumerate(lines[:-1]):
        last = _last_deeper_line(lines, number) if line.strip() else number
        first = next((below for below in range(number + 1, last + 1) if lines[below].strip()), 0)
        if first:
            begin = starts[first] + len(lines[first]) - len(lines[first].lstrip())
            blocks.append((begin, starts[last] + len(lines[last].rstrip())))
    return _build_boundaries(text, starts, hidden, blocks)


def _last_deeper_line(lines: Sequence[str], number: int) -> int:
    """The last of the lines below ``number`` that are indented deeper; blank lines may stand between them."""
    indentation, last = _indentation(lines[number]), number
    for below in range(number + 1, min(len(lines), number + 2 * _MAX_BLOCK_LINES)):
        if lines[below].strip():
            if _indentation(lines[below]) <= indentation:
                break
            last = below
    return last


def _indentation(line: str) -> int:
    expanded = line.expandtabs(_TAB_COLUMNS)
    return len(expanded) - len(expanded.lstrip())


def _build_boundaries(text: str, starts: Sequence[int], hidden: Sequence[Range], blocks: Sequence[Range]) -> Boundaries:
    """``hidden`` are comments and docstrings, ``blocks`` those of any length."""
    blanked = _blank_out(text, hidden)
    lines = []
    for number, start in enumerate(starts):
        line = _line(blanked, starts, number)
        has_comment = len(line.rstrip()) < len(_line(text, starts, number).rstrip())
        if is_worth_filling(line) and not has_comment:
            lines.append((start + len(line) - len(line.lstrip()), start + len(line.rstrip())))
    usable_blocks = {
        (begin, end)
        for begin, end in blocks
        if 1 <= text.count("\n", begin, end) < _MAX_BLOCK_LINES and is_worth_filling(blanked[begin:end])
    }
    return Boundaries(tuple(lines), tuple(sorted(usable_blocks)), tuple(_complement(len(text), hidden)))


def _complement(length: int, hidden: Sequence[Range]) -> list[Range]:
    edges = [(0, 0), *sorted(hidden), (length, length)]
    return [(left[1], right[0]) for left, right in itertools.pairwise(edges) if left[1] < right[0]]


def _blank_out(text: str, hidden: Sequence[Range]) -> str:
    """``text`` with blanks in the hidden ranges; offsets stay the same."""
    parts, offset = [], 0
    for begin, end in sorted(hidden):
        parts += [text[offset:begin], re.sub(r"[^\n]", " ", text[max(offset, begin) : end])]
        offset = max(offset, end)
    return "".join((*parts, text[offset:]))


def _line_starts(text: str) -> list[int]:
    return [0, *(offset + 1 for offset, char in enumerate(text) if char == "\n")]


def _line(text: str, starts: Sequence[int], number: int) -> str:
    end = starts[number + 1] - 1 if number + 1 < len(starts) else len(text)
    return text[starts[number] : end]
