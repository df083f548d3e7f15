"""The functions of a Python file with the positions of their parts in characters, for changes that a program makes.

Decides which functions are suitable: of a few lines, written over several, and without strange characters.
"""

from __future__ import annotations

import ast
import itertools
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

MIN_LINES, MAX_LINES = 3, 40

FunctionNode: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef
Replacement: TypeAlias = tuple[int, int, str]
"""Start and end in the file, and the text that replaces what is between."""


@dataclass(frozen=True, slots=True)
class PythonFile:
    """A file that Python can parse. ``names`` are the identifiers of variables, parameters and attributes in it."""

    text: str
    tree: ast.Module
    line_starts: tuple[int, ...]
    names: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> PythonFile | None:
        """None if the text is no Python of this version, or has characters beyond ASCII, which shift positions."""
        if not text.isascii() or "\r" in text or "\f" in text:
            return None
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # about escape sequences
                tree = ast.parse(text)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return None
        starts = itertools.accumulate((len(line) + 1 for line in text.split("\n")), initial=0)
        return cls(text, tree, tuple(starts), tuple(sorted(_identifiers(tree))))

    def functions(self) -> Iterator[PythonFunction]:
        """The functions and methods of a suitable length, in order."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or 0) - node.lineno + 1
                if MIN_LINES <= length <= MAX_LINES and node.body[0].lineno > node.lineno:
                    yield PythonFunction(self, node)

    def offset(self, line: int, column: int) -> int:
        """The character at a line (from 1) and a column (from 0)."""
        return self.line_starts[line - 1] + column

    def start_of(self, node: ast.stmt | ast.expr | ast.arg | ast.keyword) -> int:
        return self.offset(node.lineno, node.col_offset)

    def end_of(self, node: ast.stmt | ast.expr | ast.arg | ast.keyword) -> int:
        assert node.end_lineno is not None and node.end_col_offset is not None  # noqa: PT018 - both or none
        return self.offset(node.end_lineno, node.end_col_offset)

    def source_of(self, node: ast.stmt | ast.expr | ast.arg | ast.keyword) -> str:
        return self.text[self.start_of(node) : self.end_of(node)]


@dataclass(frozen=True, slots=True)
class PythonFunction:
    """A function of ``file``."""

    file: PythonFile
    node: FunctionNode

    @property
    def name(self) -> str:
        return self.node.name

    @property
    def first_line(self) -> int:
        """From 0, with decorators."""
        return min([self.node.lineno, *(each.lineno for each in self.node.decorator_list)]) - 1

    @property
    def end_line(self) -> int:
        """The line after the last one, from 0."""
        return self.node.end_lineno or self.node.lineno

    @property
    def statements(self) -> Sequence[ast.stmt]:
        """The body without its docstring."""
        first = self.node.body[0]
        is_docstring = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
        return self.node.body[1:] if is_docstring else self.node.body

    @property
    def parameters(self) -> Sequence[ast.arg]:
        """Positional ones without self and cls, and those that are given by keyword only."""
        arguments = self.node.args
        found = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
        return [each for each in found if each.arg not in ("self", "cls")]

    def names(self) -> frozenset[str]:
        """All identifiers in it, and its own name."""
        return frozenset(_identifiers(self.node)) | {self.name}

    def walk(self) -> Iterator[ast.AST]:
        """All nodes with usable positions: Python 3.11 does not tell where the parts of f-strings are."""
        pending: list[ast.AST] = [self.node]
        while pending:
            node = pending.pop()
            yield node
            if not isinstance(node, ast.JoinedStr):
                pending.extend(ast.iter_child_nodes(node))

    def has_formatted(self, name: str) -> bool:
        """Whether an f-string uses ``name``."""
        return any(
            isinstance(node, ast.Name) and node.id == name
            for formatted in ast.walk(self.node)
            if isinstance(formatted, ast.JoinedStr)
            for node in ast.walk(formatted)
        )

    def line_of(self, statement: ast.stmt) -> tuple[int, int]:
        """The whole lines of a statement, with the line end."""
        start = self.file.offset(statement.lineno, 0)
        return start, self.file.offset((statement.end_lineno or statement.lineno) + 1, 0)


def apply(text: str, replacements: Sequence[Replacement]) -> str:
    """``text`` with all replacements, which do not overlap."""
    parts: list[str] = []
    done = 0
    for start, end, new in sorted(replacements):
        parts += text[done:start], new
        done = end
    return "".join((*parts, text[done:]))


def _identifiers(tree: ast.AST) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            names.add(node.id)
        elif isinstance(node, ast.arg):
            names.add(node.arg)
        elif isinstance(node, ast.Attribute):
            names.add(node.attr)
    return names
