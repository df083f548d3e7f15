"""``starcoder-ls eval edits``: replayed changes of Python files, and the next edits that are offered after them."""

from __future__ import annotations

import json
import random
import statistics
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from starcoder_ls.commands.support.console import stderr
from starcoder_ls.context.source_files import read_source
from starcoder_ls.errors import SettingsError
from starcoder_ls.evaluation.edit_replay import Score, replay_arguments, replay_renames, replay_typing
from starcoder_ls.evaluation.repository import Repository

_KEYSTROKES = 200
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


def run(paths: list[Path], files: int, changes: int, seed: int, is_json: bool) -> int:
    """Print the scores. The exit code is 0. Raises SettingsError if there is no Python file."""
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
    rows = {kind: _row(score) for kind, score in scores.items()}
    if is_json:
        print(json.dumps({"files": read, **rows}, indent=2))
        return 0
    table = Table("", *rows, title=f"{read} files")
    for key, name in _NAMES.items():
        table.add_row(name, *("" if row[key] is None else str(row[key]) for row in rows.values()))
    Console().print(table)
    return 0


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
