"""Examples of edits from a repository's history: the changed lines with some lines around them, and the subject.

Spans are cut as in StarCoder's training data (bigcode-dataset, preprocessing of git commits): the changed lines and 0
to 31 lines on each side in 80 % of the files, else the whole file; joined by line feeds without one at the end.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from starcoder_ls.errors import SettingsError
from starcoder_ls.learning.finetuning.commit_changes import MAX_COMMITS, FileChange, changed_range, read_changes
from starcoder_ls.learning.finetuning.near_duplicates import find_near_duplicates
from starcoder_ls.learning.finetuning.slices import HELD_OUT_SHARES, VALIDATION_SHARE, Slice

WINDOW_SHARE = 0.8
MAX_CONTEXT_LINES = 31
MAX_CHANGED_LINES = 80
"""Before or after. A longer change is new code rather than an edit."""
MIN_COMMITS = 10

_MAX_WHOLE_LINES = 200  # a longer file is always cut
_MIN_CONTEXT_LINES = 3  # around an insertion, which has no lines of its own


@dataclass(frozen=True, slots=True)
class CommitSpan:
    """Lines of a file before and after a commit. ``first_line`` is where they begin in the file, from 0."""

    folder: Path
    name: str
    commit: str
    time_s: int
    licence: str
    subject: str
    before: str
    after: str
    first_line: int = 0

    @property
    def path(self) -> Path:
        return self.folder / self.name

    @property
    def text(self) -> str:
        """Everything that is learned from."""
        return "\0".join((self.subject, self.before, self.after))


@dataclass(slots=True)
class FoundSpans:
    """``left_out`` counts changes of files by the reason for which they are not used. The oldest span is first."""

    spans: list[CommitSpan] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)


def collect_spans(
    paths: Sequence[Path],
    ignored: Sequence[str] = (),
    since_s: float | None = None,
    max_commits: int = MAX_COMMITS,
) -> FoundSpans:
    """One span of each usable change in the history of ``paths``, without near-duplicates.

    The arguments are those of ``read_changes``. Raises SettingsError as it does, or if no span is left.
    """
    found = FoundSpans()
    for change in read_changes(paths, ignored, since_s, max_commits, found.left_out):
        span = cut_span(change)
        if span is None:
            found.left_out["too large a change, or without code around it"] += 1
        else:
            found.spans.append(span)
    found.spans.sort(key=lambda span: (span.time_s, span.commit, span.name))
    duplicates = find_near_duplicates([_changed_text(span) for span in found.spans])
    if duplicates:
        found.left_out["nearly equal to an earlier change"] = len(duplicates)
        found.spans = [span for number, span in enumerate(found.spans) if number not in duplicates]
    if not found.spans:
        reasons = ", ".join(f"{count} {reason}" for reason, count in found.left_out.items())
        raise SettingsError(
            f"The history of {', '.join(map(str, paths))} has no change of a source file to learn from"
            f"{f' ({reasons})' if reasons else ''}. Name another repository."
        )
    return found


def cut_span(change: FileChange, seed: int = 0) -> CommitSpan | None:
    """The same span in every run with this ``seed``; None if the change is too large, or a side of it is blank."""
    old, new = (text.removesuffix("\n").split("\n") for text in (change.old, change.new))
    start, old_end, new_end = changed_range(old, new)
    if max(old_end, new_end) - start > MAX_CHANGED_LINES:
        return None
    rng = random.Random(f"{seed}/{change.commit}/{change.name}")
    above, below = (rng.randint(0, MAX_CONTEXT_LINES) for _ in range(2))
    if rng.random() >= WINDOW_SHARE and max(len(old), len(new)) <= _MAX_WHOLE_LINES:
        above, below = start, len(old) - old_end
    for least in (0, _MIN_CONTEXT_LINES):
        first, after_last = max(0, start - max(above, least)), max(below, least)
        before = "\n".join(old[first : old_end + after_last])
        after = "\n".join(new[first : new_end + after_last])
        if before.strip() and after.strip():
            return CommitSpan(
                change.folder, change.name, change.commit, change.time_s, change.licence, change.subject, before, after,
                first,
            )  # fmt: skip
    return None


def split_spans(spans: Sequence[CommitSpan]) -> dict[Slice, list[CommitSpan]]:
    """Every span in one slice, those of a commit in the same: the newest commits are held out, the ones before decide
    when to stop. Raises SettingsError if there are too few commits.
    """
    commits = _commits_by_time(spans)
    if len(commits) < MIN_COMMITS:
        raise SettingsError(
            f"There are only {len(commits)} commits with usable changes, and {MIN_COMMITS} are needed to train on some "
            "and to measure on others. Name further repositories, or leave `--since` out."
        )
    share = next(share for count, share in HELD_OUT_SHARES if len(commits) < count)
    held_out = max(1, round(share * len(commits)))
    validation = max(1, round(VALIDATION_SHARE * len(commits)))
    first_held_out = len(commits) - held_out
    part_of = {
        commit: Slice.HELD_OUT if number >= first_held_out
        else Slice.VALIDATION if number >= first_held_out - validation
        else Slice.TRAINING
        for number, commit in enumerate(commits)
    }  # fmt: skip
    slices: dict[Slice, list[CommitSpan]] = {part: [] for part in Slice}
    for span in spans:
        slices[part_of[span.commit]].append(span)
    return slices


def _commits_by_time(spans: Iterable[CommitSpan]) -> list[str]:
    times = {span.commit: span.time_s for span in spans}
    return sorted(times, key=lambda commit: (times[commit], commit))


def _changed_text(span: CommitSpan) -> str:
    """The subject and the changed lines without those around them, which other changes share."""
    old, new = span.before.split("\n"), span.after.split("\n")
    start, old_end, new_end = changed_range(old, new)
    return "\n".join((span.subject, *old[start:old_end], *new[start:new_end]))
