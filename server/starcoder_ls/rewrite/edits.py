"""Turns new code for a target into the smallest changes of its document.

The changes keep the document's indentation and line ends. Code that could be parsed before can be parsed after.
"""

from __future__ import annotations

import ast
import difflib
import itertools
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace

from starcoder_ls.errors import AnswerUnusable
from starcoder_ls.languages.table import PYTHON, by_id
from starcoder_ls.rewrite import text_lines
from starcoder_ls.rewrite.code_indentation import CodeLines
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
    return _line_changes(target, _lines(target), _fit_to_target(target, code))


def insert_below(target: Target, code: str) -> list[Change]:
    """The change that inserts ``code`` below the target, after a blank line.

    At the left margin there are as many blank lines as the language has between functions.
    """
    line_end = text_lines.dominant_line_end(target.text)
    is_at_margin = not CodeLines.read(_lines(target), target.language).common_indentation()
    blank_lines = by_id(target.language).blank_lines_between_functions if is_at_margin else 1
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


def _fit_to_target(target: Target, code: str) -> Sequence[str]:
    """The lines of ``code`` with the target's indentation and indent unit; strings of the target stay as they are."""
    old = CodeLines.read(_lines(target), target.language)
    text = "\n".join(line.rstrip() for line in code.split("\n")).strip("\n")
    written = CodeLines.read(text.split("\n") if text else [], target.language)
    uses_tabs = text_lines.indent_unit(text_lines.split_lines(target.text)) == "\t"
    unit = old.dedent().indent_unit() or ("\t" if uses_tabs else "")
    reindented = _with_first_line_indented(written, old).dedent().reindent(unit)
    common = old.common_indentation()
    fitted = replace(reindented, lines=[common + line if line else "" for line in reindented.lines])
    old_strings = {line.rstrip() for line in old.of("string")}
    choices = (fitted, fitted.with_strings_of(written))
    return max(choices, key=lambda choice: sum(line in old_strings for line in choice.of("string"))).lines


def _lines(target: Target) -> list[str]:
    return [line.rstrip("\r\n") for line in text_lines.split_lines(target.code)]


def _with_first_line_indented(code: CodeLines, old: CodeLines) -> CodeLines:
    """Restores the first line's indentation if it alone lacks it, as in answers that continue at the cursor."""
    common = old.common_indentation()
    if len(code.lines) < 2 or not common or text_lines.indentation_of(code.lines[0]):
        return code
    others, old_others = (CodeLines(some.lines[1:], some.regions[1:]).common_indentation() for some in (code, old))
    depths = {len(text_lines.indentation_of(line)) for line in code.of("code")[1:] if line}
    may_be_own_unit = others in ("  ", "    ") and all(depth % len(others) == 0 for depth in depths)
    if others.startswith(common) and len(others) == len(old_others) and not may_be_own_unit:
        return replace(code, lines=[common + code.lines[0], *code.lines[1:]])
    return code


def _line_changes(target: Target, old: Sequence[str], new: Sequence[str]) -> list[Change]:
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
