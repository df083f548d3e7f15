"""Turns new code for a target into the smallest changes of its document.

The changes keep the document's indentation and line ends. Code that could be parsed before can be parsed after.
"""

from __future__ import annotations

import ast
import difflib
import itertools
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

from starcoder_ls.errors import AnswerUnusable
from starcoder_ls.languages.table import PYTHON, by_id
from starcoder_ls.rewrite import text_lines
from starcoder_ls.rewrite.target import Target
from starcoder_ls.syntax import items

_MAX_PARSED_CHARS = 1_000_000  # takes about 2 s; longer documents are not checked


@dataclass(frozen=True, slots=True)
class Change:
    """Replace the document's text between the offsets ``start`` and ``end`` by ``text``."""

    start: int
    end: int
    text: str


def replace_target(target: Target, code: str) -> list[Change]:
    """The changes that replace the target by ``code``: only the lines that differ, in order.

    Empty if the lines differ only in blanks at their ends.
    """
    old = [line.rstrip("\r\n") for line in text_lines.split_lines(target.code)]
    return _line_changes(target, old, _fit_to_target(target, code))


def insert_below(target: Target, code: str) -> list[Change]:
    """The change that inserts ``code`` below the target, after a blank line.

    At the left margin there are as many blank lines as the language has between functions.
    """
    line_end = text_lines.dominant_line_end(target.text)
    blank_lines = 1 if _indentation(target) else by_id(target.language).blank_lines_between_functions
    text = line_end * (1 + blank_lines) + line_end.join(_fit_to_target(target, code))
    return [Change(target.end, target.end, text)]


def apply_changes(text: str, changes: Sequence[Change]) -> str:
    """``text`` after ``changes``, which are in order and do not overlap."""
    parts, offset = [], 0
    for change in changes:
        parts += [text[offset : change.start], change.text]
        offset = change.end
    return "".join([*parts, text[offset:]])


def require_valid_syntax(target: Target, changes: Sequence[Change]) -> None:
    """Raises AnswerUnusable if the document is valid and would no longer be after ``changes``.

    Python is parsed by its own parser, the languages that ``syntax.items`` knows by their grammars.
    """
    if len(target.text) > _MAX_PARSED_CHARS:
        return
    if by_id(target.language) is not PYTHON:
        is_valid = items.has_items(target.language) and items.read_items(target.text, target.language) is not None
        if is_valid and items.read_items(apply_changes(target.text, changes), target.language) is None:
            raise AnswerUnusable("The model's answer would cause a syntax error, so nothing was changed. Try again.")
        return
    if find_syntax_error(target.text) is not None:
        return
    if (line := find_syntax_error(apply_changes(target.text, changes))) is not None:
        raise AnswerUnusable(
            f"The model's answer would cause a syntax error in line {line}, so nothing was changed. Try again."
        )


def find_syntax_error(text: str) -> int | None:
    """The line of the first syntax error in Python source, from 1; None if there is none."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about escape sequences in the user's strings
            ast.parse(text.removeprefix("\ufeff"))
    except SyntaxError as error:
        return error.lineno or 1
    except (ValueError, RecursionError, MemoryError):
        return 1
    return None


def _fit_to_target(target: Target, code: str) -> list[str]:
    """The lines of ``code`` with the target's indentation and indent unit."""
    lines = [line.rstrip() for line in code.split("\n")]
    while lines and not lines[0]:
        lines.pop(0)
    while lines and not lines[-1]:
        lines.pop()
    old = text_lines.dedent([line.rstrip("\r\n") for line in text_lines.split_lines(target.code)])
    indentation = _indentation(target)
    lines = text_lines.dedent(_with_first_line_indented(lines, old, indentation))
    uses_tabs = text_lines.indent_unit(text_lines.split_lines(target.text)) == "\t"
    unit = text_lines.indent_unit(old) or ("\t" if uses_tabs else "")
    return [indentation + line if line else "" for line in text_lines.reindent(lines, unit)]


def _indentation(target: Target) -> str:
    return text_lines.common_indentation([line.rstrip("\r\n") for line in text_lines.split_lines(target.code)])


def _with_first_line_indented(lines: list[str], old: list[str], indentation: str) -> list[str]:
    """Restores the first line's indentation if it alone lacks it, as in answers that continue at the cursor."""
    if len(lines) < 2 or not indentation or text_lines.indentation_of(lines[0]):
        return lines
    others, old_others = text_lines.common_indentation(lines[1:]), text_lines.common_indentation(old[1:])
    if others.startswith(indentation) and len(others) == len(indentation) + len(old_others):
        return [indentation + lines[0], *lines[1:]]
    return lines


def _line_changes(target: Target, old: list[str], new: list[str]) -> list[Change]:
    lengths = (len(line) for line in text_lines.split_lines(target.code))
    starts = list(itertools.accumulate(lengths, initial=target.start))
    line_end = text_lines.dominant_line_end(target.text)
    matcher = difflib.SequenceMatcher(None, [line.rstrip() for line in old], new, autojunk=False)
    changes = []
    for kind, old_start, old_end, new_start, new_end in matcher.get_opcodes():
        if kind == "equal":
            continue
        text = line_end.join(new[new_start:new_end])
        if kind == "replace":
            changes.append(Change(starts[old_start], starts[old_end - 1] + len(old[old_end - 1]), text))
        elif kind == "insert" and old_start < len(old):
            changes.append(Change(starts[old_start], starts[old_start], text + line_end))
        elif kind == "insert":
            changes.append(Change(target.end, target.end, line_end + text))
        elif old_end < len(old):
            changes.append(Change(starts[old_start], starts[old_end], ""))
        else:
            start = starts[old_start - 1] + len(old[old_start - 1]) if old_start else starts[0]
            changes.append(Change(start, target.end, ""))
    return changes
