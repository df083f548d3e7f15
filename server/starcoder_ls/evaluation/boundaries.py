"""Where holes may begin and end in a file, as its syntax has it: whole lines of code, blocks, stretches of code.

Python by its own parser; every other language by its indentation and its comment marks. Refuses to know how holes are
drawn. A parser for more languages plugs in at ``of``.
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

_LEAST_CHARS = 4
_MOST_BLOCK_LINES = 12
_TAB_COLUMNS = 4
_COMMENT = re.compile(
    r"\s*(//|#(?!include|define|if|else|endif|\[|!\[)|/\*|\*(?=[\s/]|$)|--(?=\s)|<!--|;;|%%|\"\"\"|''')"
)
_CLOSED = re.compile(r"\*/|-->")


@dataclass(frozen=True, slots=True)
class Boundaries:
    """Ranges of offsets. Lines begin after their indentation and end before the line break; those that end in a comment
    are left out.

    ``blocks`` are bodies of two to twelve lines, from their first statement to the end of their last. ``code`` is what
    is neither comment nor docstring: a random span lies in one of these ranges.
    """

    lines: tuple[Range, ...] = ()
    blocks: tuple[Range, ...] = ()
    code: tuple[Range, ...] = ()


def of(text: str, language: str) -> Boundaries:
    """The boundaries of ``text``; ``language`` is an LSP id. Python that does not parse is cut like other languages."""
    if by_id(language) is PYTHON:
        try:
            return _python(text)
        except (SyntaxError, ValueError, RecursionError, MemoryError, tokenize.TokenError):
            pass
    return _plain(text)


def is_worth_filling(text: str) -> bool:
    """Brackets and blanks alone say nothing about a model."""
    return sum(char.isalnum() for char in text) >= _LEAST_CHARS


def _python(text: str) -> Boundaries:
    tree = ast.parse(text)
    starts = _starts(text)
    hidden = [*_docstrings(text, tree, starts), *_comments(text, starts)]
    blocks = []
    for node in ast.walk(tree):
        for name in ("body", "orelse", "finalbody"):
            body = getattr(node, name, None)
            if (
                isinstance(body, list)
                and body
                and not isinstance(node, ast.Module)
                and not _is_elif(text, starts, body)
            ):
                statements = body[1:] if _is_docstring(body[0]) else body
                if statements:
                    blocks.append(_range(text, starts, statements[0], statements[-1]))
    return _with(text, starts, hidden, blocks)


def _is_elif(text: str, starts: Sequence[int], body: Sequence[ast.stmt]) -> bool:
    """``elif`` is an ``if`` in the tree, and no body of its own on the screen."""
    return isinstance(body[0], ast.If) and text.startswith("elif", starts[body[0].lineno - 1] + body[0].col_offset)


def _range(text: str, starts: Sequence[int], first: ast.stmt, last: ast.stmt) -> Range:
    """Decorators belong to what they stand on."""
    decorators: list[ast.expr] = getattr(first, "decorator_list", [])
    number = min([first.lineno, *(one.lineno for one in decorators)])
    line = _line(text, starts, number - 1)
    begin = starts[number - 1] + len(line) - len(line.lstrip())
    if not decorators:
        begin = _offset(text, starts, first.lineno, first.col_offset)
    return begin, _offset(text, starts, last.end_lineno or last.lineno, last.end_col_offset or 0)


def _docstrings(text: str, tree: ast.AST, starts: Sequence[int]) -> Iterator[Range]:
    """Any string that is a statement of its own: prose."""
    for node in ast.walk(tree):
        if isinstance(node, ast.stmt) and _is_docstring(node):
            yield _range(text, starts, node, node)


def _is_docstring(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _comments(text: str, starts: Sequence[int]) -> Iterator[Range]:
    """tokenize counts columns in characters, ast in UTF-8 bytes."""
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            begin = starts[token.start[0] - 1] + token.start[1]
            yield begin, begin + len(token.string)


def _offset(text: str, starts: Sequence[int], number: int, column_bytes: int) -> int:
    line = _line(text, starts, number - 1)
    return starts[number - 1] + len(line.encode()[:column_bytes].decode(errors="ignore"))


def _plain(text: str) -> Boundaries:
    """A comment is what begins with a comment's mark; a block is what stands deeper than the line above it."""
    starts = _starts(text)
    lines = [_line(text, starts, number) for number in range(len(starts))]
    hidden, is_open = [], False
    for number, line in enumerate(lines):
        if is_open or _COMMENT.match(line):
            hidden.append((starts[number], starts[number] + len(line)))
            opened = is_open or line.lstrip().startswith(("/*", "<!--"))
            is_open = opened and not _CLOSED.search(line)
    blocks = []
    for number, line in enumerate(lines[:-1]):
        last = _last_deeper(lines, number) if line.strip() else number
        first = next((at for at in range(number + 1, last + 1) if lines[at].strip()), 0)
        if first:
            begin = starts[first] + len(lines[first]) - len(lines[first].lstrip())
            blocks.append((begin, starts[last] + len(lines[last].rstrip())))
    return _with(text, starts, hidden, blocks)


def _last_deeper(lines: Sequence[str], number: int) -> int:
    """The last line of those below ``number`` that are indented more, blank ones between them included."""
    depth, last = _depth(lines[number]), number
    for at in range(number + 1, min(len(lines), number + 2 * _MOST_BLOCK_LINES)):
        if lines[at].strip():
            if _depth(lines[at]) <= depth:
                break
            last = at
    return last


def _depth(line: str) -> int:
    expanded = line.expandtabs(_TAB_COLUMNS)
    return len(expanded) - len(expanded.lstrip())


def _with(text: str, starts: Sequence[int], hidden: Sequence[Range], blocks: Sequence[Range]) -> Boundaries:
    """``hidden`` is comments and docstrings."""
    code = _left(len(text), hidden)
    bare = _blanked(text, hidden)
    lines = []
    for number, start in enumerate(starts):
        line = _line(bare, starts, number)
        has_comment = len(line.rstrip()) < len(_line(text, starts, number).rstrip())
        if is_worth_filling(line) and not has_comment:
            lines.append((start + len(line) - len(line.lstrip()), start + len(line.rstrip())))
    kept = {
        (begin, end)
        for begin, end in blocks
        if 1 <= text.count("\n", begin, end) < _MOST_BLOCK_LINES and is_worth_filling(bare[begin:end])
    }
    return Boundaries(tuple(lines), tuple(sorted(kept)), tuple(code))


def _left(length: int, hidden: Sequence[Range]) -> list[Range]:
    edges = [(0, 0), *sorted(hidden), (length, length)]
    return [(a[1], b[0]) for a, b in itertools.pairwise(edges) if a[1] < b[0]]


def _blanked(text: str, hidden: Sequence[Range]) -> str:
    """``text`` with blanks where it is hidden, so that offsets stay."""
    parts, at = [], 0
    for begin, end in sorted(hidden):
        parts += [text[at:begin], re.sub(r"[^\n]", " ", text[max(at, begin) : end])]
        at = max(at, end)
    return "".join((*parts, text[at:]))


def _starts(text: str) -> list[int]:
    return [0, *(place + 1 for place, char in enumerate(text) if char == "\n")]


def _line(text: str, starts: Sequence[int], number: int) -> str:
    end = starts[number + 1] - 1 if number + 1 < len(starts) else len(text)
    return text[starts[number] : end]
