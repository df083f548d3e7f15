"""``starcoder-ls eval edits``: replayed changes of Python files, and the next edits that are offered after them.

With ``--history``, also replayed commits, and the edits that the model proposes.
"""

from __future__ import annotations

import asyncio
import json
import random
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from starcoder_ls import settings
from starcoder_ls.commands.support.console import stderr
from starcoder_ls.commands.support.engine_factory import ConfiguredEngineFactory, loaded_engine
from starcoder_ls.context.source_files import read_source
from starcoder_ls.errors import SettingsError
from starcoder_ls.evaluation.edit_replay import Score, replay_arguments, replay_renames, replay_typing
from starcoder_ls.evaluation.history_replay import HistoryReplay, HistoryScore
from starcoder_ls.evaluation.repository import Repository
from starcoder_ls.next_edit.edit_route import find_edit_route, may_edit

if TYPE_CHECKING:
    from starcoder_ls.learning.finetuning.commit_spans import CommitSpan

_KEYSTROKES = 200
_COMMITS_PER_CHANGE = 20
"""Of the newest commits, so many are read for each change to replay."""
_NAMES = {
    "changes": "changes",
    "remaining": "positions that remain",
    "offered_percent": "offered, %",
    "correct_percent": "offers that are correct, %",
    "wrong": "wrong offers",
    "unknown_members": "members of other objects",
    "p50_ms": "processor time of a search, ms (median)",
    "keystrokes": "keystrokes",
    "offers_while_typing": "offers while typing",
}
_NO_EDITS = (
    "This model proposes no edits: it has seen neither commits nor issues in training and is not chat-tuned, or it "
    "runs on a server that reports no probabilities. Name another one with --model."
)
_HISTORY_NAMES = {
    "replayed": "replayed changes",
    "offered": "offered",
    "correct": "correct",
    "wrong": "wrong",
    "reverted": "reverted the user's edit",
    "p50_ms": "time of an answer, ms (median)",
}


@dataclass(frozen=True, slots=True)
class HistoryOptions:
    """How many changes of the history are replayed with a model: the settings ``overlay`` and ``settings_file``."""

    changes: int = 0
    overlay: dict[str, Any] | None = None
    settings_file: Path | None = None


def run(
    paths: list[Path], files: int, changes: int, seed: int, is_json: bool, history: HistoryOptions = HistoryOptions()
) -> int:
    """Print the scores. The exit code is 0.

    Raises SettingsError if there is no Python file, or with ``history`` if nothing can be replayed; ModelError.
    """
    output: dict[str, Any] = {}
    spans = _read_history(paths, history, seed) if history.changes else []
    try:
        output |= _replay_files(paths, files, changes, seed)
    except SettingsError:
        if not spans:
            raise
    if history.changes:
        output["history"] = _replay_history(spans, history)
    if is_json:
        print(json.dumps(output, indent=2))
        return 0
    if "files" in output:
        _print_table(f"{output['files']} files", {kind: output[kind] for kind in ("renames", "arguments", "typing")})
    if history.changes:
        _print_table(f"{len(spans)} changes of the history", output["history"], _HISTORY_NAMES)
    return 0


def _replay_files(paths: list[Path], files: int, changes: int, seed: int) -> dict[str, Any]:
    """Raises SettingsError if there is no valid Python file."""
    chosen = Repository(paths, languages=("python",)).files
    random.Random(seed).shuffle(chosen)
    scores = {"renames": Score(), "arguments": Score(), "typing": Score()}
    read = 0
    with stderr.status("editing files"):
        for name in chosen:
            text = read_source(Path(name))
            if read < files and text is not None and _edit_file(text, changes, seed, scores):
                read += 1
    if not read:
        raise SettingsError("None of the files is valid Python that this version of Python reads.")
    return {"files": read, **{kind: _row(score) for kind, score in scores.items()}}


def _read_history(paths: list[Path], history: HistoryOptions, seed: int) -> list[CommitSpan]:
    """Raises SettingsError if there is no change that can be replayed."""
    from starcoder_ls.learning.finetuning.commit_spans import collect_spans

    ignored = settings.load(history.overlay or {}, file=history.settings_file).context.ignore
    with stderr.status("reading the history"):
        spans = collect_spans(paths, ignored, max_commits=_COMMITS_PER_CHANGE * history.changes).spans
    random.Random(seed).shuffle(spans)
    return spans[: history.changes]


def _replay_history(spans: Sequence[CommitSpan], history: HistoryOptions) -> dict[str, Any]:
    """Raises SettingsError if the model cannot edit; ModelError."""
    config = settings.load(history.overlay or {}, file=history.settings_file)
    if not may_edit(config):
        raise SettingsError(_NO_EDITS)
    scores = {"after_an_edit": HistoryScore(), "with_the_subject": HistoryScore()}
    with loaded_engine(config, ConfiguredEngineFactory(lambda *_: False)) as engine:
        route = find_edit_route(config, engine.status())
        if route is None or not engine.status().capabilities.logprobs:
            raise SettingsError(_NO_EDITS)
        replay = HistoryReplay(engine, route, config.next_edit.min_confidence)
        with Progress(console=stderr) as bar:
            for span in bar.track(spans, description="replaying the history"):
                asyncio.run(replay.replay_next_edit(span, scores["after_an_edit"]))
                asyncio.run(replay.replay_subject(span, scores["with_the_subject"]))
    return {name: _history_row(score) for name, score in scores.items()}


def _print_table(title: str, rows: dict[str, dict[str, Any]], names: dict[str, str] = _NAMES) -> None:
    table = Table("", *(kind.replace("_", " ") for kind in rows), title=title)
    for key, name in names.items():
        table.add_row(name, *("" if row[key] is None else str(row[key]) for row in rows.values()))
    Console().print(table)


def _edit_file(text: str, changes: int, seed: int, scores: dict[str, Score]) -> bool:
    """Replay changes of one file; false if it is not valid Python."""
    if "\r" in text or "\f" in text:  # Python and the editor number lines differently there
        return False
    try:
        renames = replay_renames(text, changes, seed)
        arguments = replay_arguments(text, changes, seed)
        typing = replay_typing(text, _KEYSTROKES, seed)
    except SyntaxError:
        return False
    for kind, score in (("renames", renames), ("arguments", arguments), ("typing", typing)):
        scores[kind].add(score)
    return True


def _row(score: Score) -> dict[str, Any]:
    offers = score.correct + score.wrong
    return {
        "changes": score.changes,
        "remaining": score.remaining,
        "offered_percent": round(100 * score.correct / score.remaining, 1) if score.remaining else None,
        "correct_percent": round(100 * score.correct / offers, 1) if offers else None,
        "wrong": score.wrong,
        "unknown_members": score.unknown_members,
        "p50_ms": round(1000 * statistics.median(score.seconds), 1) if score.seconds else None,
        "keystrokes": score.keystrokes,
        "offers_while_typing": score.offers_while_typing,
    }


def _history_row(score: HistoryScore) -> dict[str, Any]:
    return {
        "replayed": score.replayed,
        "offered": score.offered,
        "correct": score.correct,
        "wrong": score.wrong,
        "reverted": score.reverted,
        "p50_ms": round(1000 * statistics.median(score.seconds), 1) if score.seconds else None,
        "confidences": [[round(confidence, 3), is_correct] for confidence, is_correct in score.confidences],
    }
