"""Edits (before, subject, after) that a program makes from real Python files, of the kinds of ``synthetic_changes`` and
``synthetic_fixes``.

The edits of a text are the same in every run with the same seed. Half of them are shown as the whole function, the
others are cut as commits are (``commit_spans``).
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from starcoder_ls.learning.finetuning.commit_changes import FileChange, changed_range
from starcoder_ls.learning.finetuning.commit_spans import CommitSpan, cut_span
from starcoder_ls.learning.python_functions import PythonFile, PythonFunction, apply
from starcoder_ls.learning.synthetic_changes import CHANGES, Maker
from starcoder_ls.learning.synthetic_fixes import FIXES

KINDS: Mapping[str, Maker] = {**CHANGES, **FIXES}

_WHOLE_FUNCTION_SHARE = 0.5


@dataclass(frozen=True, slots=True)
class SyntheticEdit:
    """An edit of a kind: the whole file before and after it, and the lines that are shown."""

    kind: str
    change: FileChange
    span: CommitSpan


class EditMaker:
    """Makes edits, of each kind about as many. ``counts`` are those so far."""

    def __init__(self, seed: int = 0) -> None:
        self._seed = seed
        self.counts: Counter[str] = Counter()

    def make_edits(self, name: str, text: str) -> Iterator[SyntheticEdit]:
        """At most one edit of each function of a file; ``name`` identifies the file."""
        file = PythonFile.parse(text)
        if file is None:
            return
        rng = random.Random(f"{self._seed}/{name}")
        for number, function in enumerate(file.functions()):
            edit = self._make_edit(f"{name}/{number}", function, rng)
            if edit is not None:
                self.counts[edit.kind] += 1
                yield edit

    def _make_edit(self, identity: str, function: PythonFunction, rng: random.Random) -> SyntheticEdit | None:
        """An edit of the kind of which there are fewest, among those that the function has something for."""
        for kind in sorted(KINDS, key=lambda kind: (self.counts[kind], rng.random())):
            made = KINDS[kind](function, rng)
            if made is None:
                continue
            original = function.file.text
            changed = apply(original, made.replacements)
            old, new = (changed, original) if made.leads_to else (original, changed)
            if old == new or PythonFile.parse(changed) is None:
                continue
            change = FileChange(Path("synthetic"), identity, kind, 0, made.subject, old, new)
            span = self._cut(change, function, rng)
            if span is not None:
                return SyntheticEdit(kind, change, span)
        return None

    def _cut(self, change: FileChange, function: PythonFunction, rng: random.Random) -> CommitSpan | None:
        """The whole function, if the change is in it, or lines around the change."""
        old, new = change.old.split("\n"), change.new.split("\n")
        start, old_end, new_end = changed_range(old, new)
        rest = len(function.file.text.split("\n")) - function.end_line
        is_inside = start >= function.first_line and min(len(old) - old_end, len(new) - new_end) >= rest
        if rng.random() >= _WHOLE_FUNCTION_SHARE or not is_inside:
            return cut_span(change, self._seed)
        before, after = ("\n".join(lines[function.first_line : len(lines) - rest]) for lines in (old, new))
        return CommitSpan(
            change.folder, change.name, change.commit, change.time_s, "", change.subject, before, after,
            function.first_line,
        )  # fmt: skip
