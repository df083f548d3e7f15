"""Scores an edit against the one that was made: the same, another way to the same, wrong, or none.

Decides when two texts count as the same: blanks at line ends do not count; for Python, texts that are parsed to the
same tree are another way to the same, elsewhere texts that differ in blanks only.
"""

from __future__ import annotations

import ast
import difflib
import enum
import hashlib
import textwrap
import warnings
from collections.abc import Sequence
from dataclasses import dataclass


class Outcome(enum.StrEnum):
    """What became of an edit."""

    EXACT = "exact"
    DIFFERENT = "right but different"
    WRONG = "wrong"
    UNCHANGED = "unchanged"


@dataclass(frozen=True, slots=True)
class EditTask:
    """An edit to make: lines ``before``, in a ``document`` from ``start`` to ``end``, shall become ``after``.

    ``group`` is what edits depend on each other in: a commit. ``kind`` is empty for edits from a history.
    """

    group: str
    path: str
    language: str
    subject: str
    document: str
    start: int
    end: int
    after: str
    kind: str = ""

    @property
    def before(self) -> str:
        return self.document[self.start : self.end]

    @property
    def id(self) -> str:
        texts = "\0".join((self.group, self.path, self.subject, self.before, self.after))
        return hashlib.sha256(texts.encode(errors="surrogatepass")).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class ScoredEdit:
    """An answer to a task. ``text`` is what it makes of the task's lines, or None if there was none.

    ``path`` is the group of the task: the tests take what has the same path as dependent.
    """

    id: str
    path: str
    kind: str
    outcome: Outcome
    is_only_intended: bool
    elapsed_ms: float
    text: str | None
    before: str
    truth: str

    @property
    def is_right(self) -> bool:
        """Whether the edit is exactly the one that was made."""
        return self.outcome is Outcome.EXACT


def score_edit(task: EditTask, text: str | None, elapsed_ms: float) -> ScoredEdit:
    """The scores of ``text``, which replaces the task's lines; None if there was no answer."""
    outcome = Outcome.UNCHANGED if text is None else compare(task.before, task.after, text, task.language)
    only_intended = outcome is not Outcome.UNCHANGED and is_only_intended(task.before, task.after, text or "")
    return ScoredEdit(
        task.id, task.group, task.kind, outcome, only_intended, round(elapsed_ms, 2), text, task.before, task.after
    )


def compare(before: str, after: str, answer: str, language: str) -> Outcome:
    """What ``answer`` is, where ``after`` was made of ``before``."""
    old, expected, found = (_stripped_lines(text) for text in (before, after, answer))
    if found == expected:
        return Outcome.EXACT
    if found == old:
        return Outcome.UNCHANGED
    return Outcome.DIFFERENT if _normalize(after, language) == _normalize(answer, language) else Outcome.WRONG


def is_only_intended(before: str, after: str, answer: str) -> bool:
    """Whether ``answer`` changes only lines that ``after`` changes too."""
    old = _stripped_lines(before)
    intended = list(_changed_ranges(old, _stripped_lines(after)))
    return all(
        any(start >= first and end <= last for first, last in intended)
        for start, end in _changed_ranges(old, _stripped_lines(answer))
    )


def _changed_ranges(old: Sequence[str], new: Sequence[str]) -> list[tuple[int, int]]:
    """Lines of ``old`` that are changed; an insertion is an empty range before a line."""
    matcher = difflib.SequenceMatcher(None, old, new, autojunk=False)
    return [(start, end) for kind, start, end, _, _ in matcher.get_opcodes() if kind != "equal"]


def _stripped_lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.rstrip().split("\n")]


def _normalize(text: str, language: str) -> str:
    """The text without what does not matter in it."""
    if language == "python":
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return ast.dump(ast.parse(textwrap.dedent(text)))
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            pass
    return "".join(text.split())
