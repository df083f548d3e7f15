"""Held-out edits of a history that a base and an adapter make, for the gate, through the flow of an action.

One engine has the base and the adapter, so that the sides differ in nothing else; a checkpoint has its own engine.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from starcoder_ls import settings
from starcoder_ls.commands.support.edit_answers import EditSide, answer_alternately
from starcoder_ls.commands.support.engine_factory import LocalEngineFactory, loaded_engine
from starcoder_ls.errors import SettingsError
from starcoder_ls.evaluation.edit_gate import EditPair
from starcoder_ls.evaluation.edit_scores import EditTask
from starcoder_ls.evaluation.partial_run import PartialRun
from starcoder_ls.languages.table import by_path
from starcoder_ls.rewrite.perform_action import ActionRoute
from starcoder_ls.settings import EDIT_TEMPLATE, Settings

if TYPE_CHECKING:
    from starcoder_ls.learning.finetuning.commit_changes import FileChange
    from starcoder_ls.learning.finetuning.commit_spans import CommitSpan
    from starcoder_ls.learning.finetuning.versions import Version

_CANDIDATE = "candidate"


@dataclass(frozen=True, slots=True)
class GateEdits:
    """The edits of ``tasks`` from one number to another, as both sides make them; ``kept`` as in ``edit_answers``."""

    tasks: Sequence[EditTask]
    sides: tuple[EditSide, EditSide]
    config: Settings
    kept: PartialRun[EditPair] | None = None

    def __call__(self, first: int, last: int) -> list[EditPair]:
        """Raises EngineError."""
        return asyncio.run(answer_alternately(self.tasks[first:last], self.sides, self.config, self.kept))


@contextmanager
def open_sides(version: Version, settings_file: Path | None) -> Iterator[tuple[EditSide, EditSide]]:
    """The base and the candidate, loaded. Raises ModelError, SettingsError."""
    training = version.training
    edit_format, folder = training["edit_format"], str(version.folder)
    base_route = ActionRoute(None, EDIT_TEMPLATE, edit_format)
    with ExitStack() as stack:

        def load(model: str, adapters: Mapping[str, Any]) -> Any:
            config = settings.load({"model": {"name": model}, "adapters": adapters}, file=settings_file)
            factory = LocalEngineFactory(lambda name, _: name in adapters, is_process_ending=True)
            return stack.enter_context(loaded_engine(config, factory))

        if training["is_checkpoint"]:
            yield EditSide(load(training["base"], {}), base_route), EditSide(load(folder, {}), base_route)
        else:
            engine = load(training["base"], {_CANDIDATE: {"path": folder, "template": EDIT_TEMPLATE}})
            yield EditSide(engine, base_route), EditSide(engine, ActionRoute(_CANDIDATE, EDIT_TEMPLATE, edit_format))


def held_out_tasks(version: Version, ignored: Sequence[str]) -> list[EditTask]:
    """The held-out edits of ``version``, read from the history again, in random order.

    Raises SettingsError if none is found any more.
    """
    from starcoder_ls.learning.finetuning.commit_changes import read_changes
    from starcoder_ls.learning.finetuning.commit_spans import cut_span

    training = version.training
    chosen = {tuple(edit) for edit in training["held_out_edits"]}
    paths = [path for path in map(Path, training["paths"]) if path.exists()]
    tasks = []
    for change in read_changes(paths, ignored, max_commits=training["max_commits"]):
        span = cut_span(change) if (str(change.folder), change.commit, change.name) in chosen else None
        if span is not None:
            tasks.append(task_of(change, span))
    if not tasks:
        raise SettingsError(
            "None of the commits that were held out is in the history any more, so the adapter cannot be measured. "
            "Train again."
        )
    random.Random(0).shuffle(tasks)
    return tasks


def task_of(change: FileChange, span: CommitSpan) -> EditTask:
    """The edit of ``span`` in the file before the commit."""
    start = sum(len(line) + 1 for line in change.old.split("\n")[: span.first_line])
    language = by_path(change.name).id
    return EditTask(
        change.commit, change.name, language, span.subject, change.old, start, start + len(span.before), span.after
    )
