"""New code for a target as the smallest changes of its document.

Decides indentation, line ends, and that Python which could be parsed stays so. Refuses to know models and protocols.
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

_PARSED_CHARS = 1_000_000  # some 2 s; beyond that nobody's function is worth the wait


@dataclass(frozen=True, slots=True)
class Change:
    """``text`` in place of ``start`` .. ``end`` of the document."""

    start: int
    end: int
    text: str


def replaced(target: Target, code: str) -> list[Change]:
    """``code`` in place of the target: only lines that differ, in order. None if nothing but blanks at ends differs."""
    old = [row.rstrip("\r\n") for row in text_lines.split(target.code)]
    return _minimal(target, old, _fitted(target, code))


def inserted(target: Target, code: str) -> list[Change]:
    """``code`` below the target, a blank line (at the margin as many as the language has between functions) between."""
    end = text_lines.line_end(target.text)
    gap = end * (1 + (1 if _margin(target) else by_id(target.language).blank_lines_between_functions))
    return [Change(target.end, target.end, gap + end.join(_fitted(target, code)))]


def applied(text: str, changes: Sequence[Change]) -> str:
    pieces, place = [], 0
    for change in changes:
        pieces += [text[place : change.start], change.text]
        place = change.end
    return "".join([*pieces, text[place:]])


def require_syntax(target: Target, changes: Sequence[Change]) -> None:
    """Raises AnswerUnusable if the document was Python before and would not be any more."""
    if (
        by_id(target.language) is not PYTHON
        or len(target.text) > _PARSED_CHARS
        or syntax_error(target.text) is not None
    ):
        return
    if (line := syntax_error(applied(target.text, changes))) is not None:
        raise AnswerUnusable(f"The answer would break the syntax at line {line}, so nothing was changed. Try again.")


def syntax_error(text: str) -> int | None:
    """The line where Python stops to understand ``text``; None if it does not."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of escapes in the user's strings
            ast.parse(text.removeprefix("\ufeff"))
    except SyntaxError as error:
        return error.lineno or 1
    except (ValueError, RecursionError, MemoryError):
        return 1
    return None


def _fitted(target: Target, code: str) -> list[str]:
    """``code`` as lines in the target's place: its margin, its step of indentation."""
    rows = [row.rstrip() for row in code.split("\n")]
    while rows and not rows[0]:
        rows.pop(0)
    while rows and not rows[-1]:
        rows.pop()
    given = text_lines.without_margin([row.rstrip("\r\n") for row in text_lines.split(target.code)])
    margin = _margin(target)
    rows = text_lines.without_margin(_with_first_line_level(rows, given, margin))
    wanted = text_lines.step(given) or ("\t" if text_lines.step(text_lines.split(target.text)) == "\t" else "")
    return [margin + row if row else "" for row in text_lines.in_steps(rows, wanted)]


def _margin(target: Target) -> str:
    return text_lines.margin([row.rstrip("\r\n") for row in text_lines.split(target.code)])


def _with_first_line_level(rows: list[str], given: list[str], margin: str) -> list[str]:
    """Models continue at the cursor: the first line without the margin that the others keep."""
    if len(rows) < 2 or not margin or text_lines.indent(rows[0]):
        return rows
    kept, before = text_lines.margin(rows[1:]), text_lines.margin(given[1:])
    if kept.startswith(margin) and len(kept) == len(margin) + len(before):
        return [margin + rows[0], *rows[1:]]
    return rows


def _minimal(target: Target, old: list[str], new: list[str]) -> list[Change]:
    starts = list(itertools.accumulate((len(row) for row in text_lines.split(target.code)), initial=target.start))
    end = text_lines.line_end(target.text)
    matcher = difflib.SequenceMatcher(None, [row.rstrip() for row in old], new, autojunk=False)
    changes = []
    for kind, first, after, new_first, new_after in matcher.get_opcodes():
        if kind == "equal":
            continue
        text = end.join(new[new_first:new_after])
        if kind == "replace":
            changes.append(Change(starts[first], starts[after - 1] + len(old[after - 1]), text))
        elif kind == "insert" and first < len(old):
            changes.append(Change(starts[first], starts[first], text + end))
        elif kind == "insert":
            changes.append(Change(target.end, target.end, end + text))
        elif after < len(old):
            changes.append(Change(starts[first], starts[after], ""))
        else:
            begin = starts[first - 1] + len(old[first - 1]) if first else starts[0]
            changes.append(Change(begin, target.end, ""))
    return changes
