"""Replays changes of a repository's history, and compares the edits that the model proposes with what was committed.

Decides what counts: after the first changed stretch of a commit was typed, an edit is correct if it makes another one.
"""

from __future__ import annotations

import difflib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from starcoder_ls.context.edit_history import EditHistory
from starcoder_ls.generation import Engine
from starcoder_ls.languages.table import by_path
from starcoder_ls.next_edit.edit_route import EditRoute
from starcoder_ls.next_edit.edit_window import LINES_AROUND
from starcoder_ls.next_edit.mechanical import OpenText
from starcoder_ls.next_edit.model_source import ModelEdit, find_model_edit, keeps_syntax, prepare_edit

if TYPE_CHECKING:
    from starcoder_ls.learning.finetuning.commit_spans import CommitSpan

_URI = "file:///replayed"
_LINES_ABOVE_CHANGE = 2

Block = tuple[int, int, int, int]


@dataclass(slots=True)
class HistoryScore:
    """Counts of replayed changes and of proposals by outcome; seconds of each answer."""

    replayed: int = 0
    offered: int = 0
    correct: int = 0
    wrong: int = 0
    reverted: int = 0
    seconds: list[float] = field(default_factory=list)
    confidences: list[tuple[float, bool]] = field(default_factory=list)
    """Of every proposal, offered or not: how confident the model was, and whether it is correct."""


@dataclass(frozen=True, slots=True)
class _Situation:
    """A document after the first ``done`` stretches of a change. ``expected`` are right texts after one more edit."""

    document: OpenText
    cursor: int
    history: EditHistory
    expected: tuple[str, ...]
    reverted: str


@dataclass(slots=True)
class HistoryReplay:
    """Asks ``engine`` about changes. Proposals of at least ``min_confidence`` count as offered."""

    engine: Engine
    route: EditRoute
    min_confidence: float
    clock: Callable[[], float] = time.perf_counter

    async def replay_next_edit(self, span: CommitSpan, score: HistoryScore) -> None:
        """Type the first changed stretch; the subject is what the edits say. Nothing if no other one is near."""
        situation = _after_first_block(span)
        if situation is not None:
            await self._ask(situation, None, score)

    async def replay_subject(self, span: CommitSpan, score: HistoryScore) -> None:
        """Give the model the commit's own subject, and no edit. Nothing if the change is longer than a window."""
        situation = _before_change(span)
        if situation is not None:
            await self._ask(situation, span.subject, score)

    async def _ask(self, situation: _Situation, subject: str | None, score: HistoryScore) -> None:
        document, edits = situation.document, situation.history.recent()
        request = prepare_edit(self.engine, self.route, document, situation.cursor, edits, "replay", subject=subject)
        if request is None:
            return
        score.replayed += 1
        started = self.clock()
        found = await find_model_edit(self.engine, request)
        score.seconds.append(self.clock() - started)
        if found is not None and keeps_syntax(document, found.replacement):
            self._count(found, situation, score)

    def _count(self, found: ModelEdit, situation: _Situation, score: HistoryScore) -> None:
        text, edit = situation.document.text, found.replacement
        result = _without_trailing_blanks(text[: edit.start] + edit.text + text[edit.end :])
        is_correct = result in situation.expected
        score.confidences.append((found.confidence, is_correct))
        if found.confidence < self.min_confidence:
            return
        score.offered += 1
        if is_correct:
            score.correct += 1
        elif result == situation.reverted:
            score.reverted += 1
        else:
            score.wrong += 1


def _after_first_block(span: CommitSpan) -> _Situation | None:
    before, after = span.before.split("\n"), span.after.split("\n")
    blocks = changed_blocks(before, after)
    if len(blocks) < 2 or blocks[1][0] - blocks[0][1] >= LINES_AROUND:
        return None
    first = blocks[0]
    lines = _apply(before, after, [first])
    history = EditHistory()
    start = sum(len(line) + 1 for line in before[: first[0]])
    old = "".join(f"{line}\n" for line in before[first[0] : first[1]])
    new = "".join(f"{line}\n" for line in after[first[2] : first[3]])
    text = "\n".join(lines)
    history.record(_URI, span.name, text, start, old, new)
    expected = _expected(before, after, blocks, 1)
    document = OpenText(_URI, by_path(span.name).id, text)
    return _Situation(
        document, max(start, start + len(new) - 1), history, expected, _without_trailing_blanks(span.before)
    )


def _before_change(span: CommitSpan) -> _Situation | None:
    before, after = span.before.split("\n"), span.after.split("\n")
    blocks = changed_blocks(before, after)
    if not blocks or blocks[0][1] - blocks[0][0] > LINES_AROUND:
        return None
    first, last = blocks[0][0], blocks[0][1]
    line = first - _LINES_ABOVE_CHANGE if first >= _LINES_ABOVE_CHANGE else min(last + 1, len(before) - 1)
    cursor = sum(len(each) + 1 for each in before[:line])
    document = OpenText(_URI, by_path(span.name).id, span.before)
    return _Situation(document, cursor, EditHistory(), _expected(before, after, blocks, 0), "")


def changed_blocks(before: Sequence[str], after: Sequence[str]) -> list[Block]:
    """The stretches of lines that differ: first and end in ``before``, first and end in ``after``."""
    matcher = difflib.SequenceMatcher(None, before, after, autojunk=False)
    return [block[1:] for block in matcher.get_opcodes() if block[0] != "equal"]


def _expected(before: Sequence[str], after: Sequence[str], blocks: Sequence[Block], done: int) -> tuple[str, ...]:
    """The texts after the first ``done`` stretches and another one, or several from the next on."""
    made, rest = list(blocks[:done]), blocks[done:]
    single = [[*made, block] for block in rest]
    several = [[*made, *rest[:end]] for end in range(2, len(rest) + 1)]
    return tuple(_without_trailing_blanks("\n".join(_apply(before, after, chosen))) for chosen in (*single, *several))


def _apply(before: Sequence[str], after: Sequence[str], blocks: Sequence[Block]) -> list[str]:
    """``before`` with the stretches ``blocks`` as in ``after``."""
    lines, done = [], 0
    for first, last, new_first, new_last in blocks:
        lines += [*before[done:first], *after[new_first:new_last]]
        done = last
    return [*lines, *before[done:]]


def _without_trailing_blanks(text: str) -> str:
    return "\n".join(line.rstrip() for line in text.split("\n"))
