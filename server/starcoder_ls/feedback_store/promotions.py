"""The history of promotions of adapters that were trained here: which version serves since when, how, and watched for
how long.

A history is a file of one JSON object per line, so that it survives an interruption.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from starcoder_ls import user_folders

HISTORY_FILE = "history.jsonl"
CURRENT, MERGED = "current", "merged"
_REPORTED = ".reported"


@dataclass(frozen=True, slots=True)
class Promotion:
    """An entry of the history of the adapter in ``folder``; ``version`` is None if none serves since then.

    ``is_merged``: it serves as a checkpoint, into which it was merged. ``watch_days``: for so long its feedback is
    compared with that before; 0: not at all.
    """

    folder: Path
    at: datetime
    version: str | None
    is_rollback: bool = False
    is_merged: bool = False
    watch_days: float = 0.0

    @property
    def adapter(self) -> str:
        return self.folder.name

    @property
    def watch_ends(self) -> datetime:
        return self.at + timedelta(days=self.watch_days)

    def serves_as(self, adapter: str | None, model: str) -> bool:
        """Whether a suggestion of ``adapter`` on ``model``, as the feedback store has them, comes from it."""
        return adapter == self.adapter or Path(model).is_relative_to(self.folder / CURRENT)

    def serves_the_same(self, other: Promotion) -> bool:
        """Whether the same version serves in the same form since ``other``."""
        return (self.version, self.is_merged) == (other.version, other.is_merged)

    def append(self) -> None:
        """Add it to the history. Raises OSError."""
        entry = {
            "at": self.at.isoformat(timespec="seconds"), "version": self.version, "is_rollback": self.is_rollback,
            "is_merged": self.is_merged, "watch_days": self.watch_days,
        }  # fmt: skip
        with (self.folder / HISTORY_FILE).open("a", encoding="utf-8") as history:
            history.write(json.dumps(entry) + "\n")

    def claim_report(self) -> bool:
        """Whether the user has not been told about it yet; true once, in one of all processes."""
        try:
            (self.folder / f"{_REPORTED}-{self.at:%Y-%m-%dT%H-%M-%S}").touch(exist_ok=False)
        except OSError:
            return False
        return True


def read_history(folder: Path) -> list[Promotion]:
    """The entries of the adapter in ``folder``, the oldest first. A damaged line is left out."""
    try:
        lines = (folder / HISTORY_FILE).read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return []
    return [entry for line in lines if (entry := _parse(folder, line)) is not None]


def served(history: list[Promotion]) -> list[Promotion]:
    """The promotions that no rollback has taken back, the oldest first: the last one serves.

    A rollback takes back the last one, and those before it down to what serves since.
    """
    standing: list[Promotion] = []
    for entry in history:
        if not entry.is_rollback:
            standing.append(entry)
            continue
        del standing[-1:]
        while standing and not standing[-1].serves_the_same(entry):
            standing.pop()
    return standing


def watched(root: Path | None = None) -> list[Promotion]:
    """The promotions that serve and are to be compared with the time before, whether the days are over or not."""
    folders = sorted(path for path in (root or user_folders.trained_adapters_folder()).glob("*") if path.is_dir())
    latest = [history[-1] for folder in folders if (history := read_history(folder))]
    return [entry for entry in latest if entry.watch_days and not entry.is_rollback]


def _parse(folder: Path, line: str) -> Promotion | None:
    try:
        entry: dict[str, Any] = json.loads(line)
        at = datetime.fromisoformat(entry["at"])
        is_merged, days = bool(entry.get("is_merged", False)), float(entry.get("watch_days", 0.0))
        return Promotion(folder, at, entry["version"], bool(entry["is_rollback"]), is_merged, days)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
