"""What became of suggestions, in one SQLite file on this machine: shown, accepted, partly, rejected, kept.

Decides how rows are written without anybody waiting, and when old ones go. Refuses to know documents and editors.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import platformdirs

from starcoder_ls.errors import FeedbackStoreUnreadable

logger = logging.getLogger(__name__)

Outcome = Literal["shown", "accepted", "partly", "rejected"]

_OVERRIDE = "STARCODER_LS_STATE"
_VERSION = 1
_BUSY_S = 5.0
_DAY_S = 86_400
_TABLE = """
create table if not exists suggestions (
    id text primary key,
    shown_at real not null,     -- seconds since 1970
    outcome text not null,      -- shown, accepted, partly, rejected
    language text not null,
    model text not null,
    adapter text,
    source text not null,       -- model, resumed, memory, ahead
    chars integer not null,
    lines integer not null,
    accepted_chars integer not null default 0,
    kept_percent integer,       -- of what was accepted, half a minute later
    prefix text, suffix text, suggestion text  -- null unless the user allows it
)
"""


@dataclass(frozen=True, slots=True)
class Row:
    """A suggestion as it was shown. ``excerpt`` is the text before and after it, and its own, if that may be kept."""

    id: str
    language: str
    model: str
    adapter: str | None
    source: str
    chars: int
    lines: int
    excerpt: tuple[str, str, str] | None = None


@dataclass(slots=True)
class Counts:
    """How many suggestions were shown, and what became of them; ``kept_percent`` holds one for each looked at again."""

    shown: int = 0
    accepted: int = 0
    partly: int = 0
    rejected: int = 0
    kept_percent: list[int] = field(default_factory=list)

    def add(self, outcome: str, kept_percent: int | None) -> None:
        self.shown += 1
        self.accepted += outcome == "accepted"
        self.partly += outcome == "partly"
        self.rejected += outcome == "rejected"
        if kept_percent is not None:
            self.kept_percent.append(kept_percent)

    def __iadd__(self, other: Counts) -> Counts:
        self.shown += other.shown
        self.accepted += other.accepted
        self.partly += other.partly
        self.rejected += other.rejected
        self.kept_percent += other.kept_percent
        return self

    def summary(self) -> dict[str, float | int | None]:
        """``accepted_percent`` is of those whose end is known: the last one of a session may be open."""
        settled = self.accepted + self.partly + self.rejected
        kept = self.kept_percent
        return {
            "shown": self.shown,
            "accepted": self.accepted,
            "partly": self.partly,
            "rejected": self.rejected,
            "accepted_percent": round(100 * self.accepted / settled, 1) if settled else None,
            "looked_at_again": len(kept),
            "kept_percent": round(sum(kept) / len(kept), 1) if kept else None,
        }


def counted(path: Path | None = None) -> dict[str, Counts]:
    """By language, from the file as it is; nothing where there is none yet. Raises JournalUnreadable."""
    place = path or file()
    if not place.exists():
        return {}
    found: dict[str, Counts] = {}
    try:
        with contextlib.closing(sqlite3.connect(f"{place.absolute().as_uri()}?mode=ro", uri=True)) as database:
            for language, outcome, kept in database.execute("select language, outcome, kept_percent from suggestions"):
                found.setdefault(language, Counts()).add(outcome, kept)
    except sqlite3.Error as error:
        raise FeedbackStoreUnreadable(
            f"{place} cannot be read ({error}). Remove or rename it to begin anew."
        ) from error
    return found


def file() -> Path:
    """In `$STARCODER_LS_STATE`, or in the platform's folder for state."""
    override = os.environ.get(_OVERRIDE)
    return Path(override or platformdirs.user_state_dir("starcoder-ls", appauthor=False)) / "feedback.sqlite3"


class FeedbackStore:
    """Writes in a thread of its own, in order; the file is made with the first row, readable by this user alone.

    A file that cannot be written costs one line in the log and nothing else.
    """

    def __init__(self, path: Path | None = None, keep_days: int = 90) -> None:
        self._path, self._keep_days = path, keep_days
        self._writer = ThreadPoolExecutor(1, "feedback")
        self._database: sqlite3.Connection | None = None
        self._is_broken = False

    def show(self, row: Row) -> None:
        """Once for each ``id``; further times change nothing."""
        excerpt = row.excerpt or (None, None, None)
        values = (row.id, time.time(), row.language, row.model, row.adapter, row.source, row.chars, row.lines, *excerpt)
        self._later(
            "insert or ignore into suggestions (id, shown_at, outcome, language, model, adapter, source, chars, lines,"
            " prefix, suffix, suggestion) values (?, ?, 'shown', ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            values,
        )

    def conclude(self, key: str, outcome: Outcome, accepted_chars: int = 0) -> None:
        """What the user did with it; the last word counts."""
        self._later(
            "update suggestions set outcome = ?, accepted_chars = ? where id = ?", (outcome, accepted_chars, key)
        )

    def keep(self, key: str, percent: int) -> None:
        self._later("update suggestions set kept_percent = ? where id = ?", (percent, key))

    def close(self) -> None:
        """Waits for what is to be written. Idempotent."""
        self._writer.submit(self._close)
        self._writer.shutdown()

    def _later(self, statement: str, values: tuple[object, ...]) -> Future[None]:
        return self._writer.submit(self._write, statement, values)

    def _write(self, statement: str, values: tuple[object, ...]) -> None:
        if self._is_broken:
            return
        try:
            if self._database is None:
                self._database = self._opened()
            with self._database:
                self._database.execute(statement, values)
        except (sqlite3.Error, OSError) as error:
            self._is_broken = True
            logger.warning("Feedback is not kept: %s cannot be written (%s).", self._path or file(), error)

    def _opened(self) -> sqlite3.Connection:
        path = self._path or file()
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.touch(mode=0o600)
        database = sqlite3.connect(path, timeout=_BUSY_S)
        with database:
            version = database.execute("pragma user_version").fetchone()[0]
            if version > _VERSION:
                raise sqlite3.DatabaseError("it was written by a newer version; remove or rename it")
            database.execute(_TABLE)
            database.execute(f"pragma user_version = {_VERSION}")
            database.execute("delete from suggestions where shown_at < ?", (time.time() - self._keep_days * _DAY_S,))
        return database

    def _close(self) -> None:
        if self._database is not None:
            self._database.close()
            self._database = None
