"""Edits that a base and a candidate make, through the flow of the action ``rewrite``, one right after the other.

The subject of the commit is the user's instruction, and the lines of the edit are the selected ones.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from starcoder_ls.context.secrets import mask_secrets
from starcoder_ls.errors import ActionError, PromptTooLong
from starcoder_ls.evaluation.edit_gate import EditPair
from starcoder_ls.evaluation.edit_scores import EditTask, ScoredEdit, score_edit
from starcoder_ls.evaluation.paired_filling import fill_alternately
from starcoder_ls.evaluation.partial_run import PartialRun
from starcoder_ls.generation import Engine
from starcoder_ls.rewrite import edits, perform_action
from starcoder_ls.rewrite.perform_action import ActionRoute
from starcoder_ls.rewrite.target import Target
from starcoder_ls.settings import Settings

ACTION = "rewrite"


@dataclass(frozen=True, slots=True)
class EditSide:
    """Who makes an edit: an engine, and which adapter of it in which format."""

    engine: Engine
    route: ActionRoute


async def answer_alternately(
    tasks: Iterable[EditTask],
    sides: tuple[EditSide, EditSide],
    settings: Settings,
    kept: PartialRun[EditPair] | None = None,
) -> list[EditPair]:
    """The edits as both sides make them, with masked secrets; those in ``kept`` are not made again.

    Raises EngineError, and SettingsError if ``kept`` cannot be written; an edit that an action refuses counts as none.
    """
    partial = PartialRun[EditPair](None, {}, EditPair) if kept is None else kept

    async def make(side: int, task: EditTask) -> ScoredEdit:
        return _mask_texts(await make_edit(task, sides[side], settings))

    async def keep(pair: EditPair) -> None:
        partial.add(pair[0].id, pair)

    return await fill_alternately(tasks, make, lambda task: partial.answers.get(task.id), keep)


def _mask_texts(edit: ScoredEdit) -> ScoredEdit:
    text = edit.text if edit.text is None else mask_secrets(edit.text)
    return replace(edit, text=text, before=mask_secrets(edit.before), truth=mask_secrets(edit.truth))


async def make_edit(
    task: EditTask, side: EditSide, settings: Settings, clock: Callable[[], float] = time.perf_counter
) -> ScoredEdit:
    """Make the edit, and score it. Raises EngineError."""
    target = Target(task.document, task.start, task.end, task.language, task.path, instruction=task.subject)
    started_s = clock()
    try:
        prepared = perform_action.prepare_action(settings, side.engine, ACTION, target, side.route)
        changes = await perform_action.compute_changes(side.engine, prepared)
    except (ActionError, PromptTooLong):
        return score_edit(task, None, 1000 * (clock() - started_s))
    text = edits.apply_changes(task.document, changes)
    after = len(task.document) - task.end
    return score_edit(task, text[task.start : len(text) - after], 1000 * (clock() - started_s))
