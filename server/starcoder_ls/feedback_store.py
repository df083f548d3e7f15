"""Feedback on suggestions in a SQLite file on this machine: whether they were accepted, and how much of them was kept.

Rows are written on a thread, so that no request waits for the disk. Old rows are deleted when the file is opened.
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from starcoder_ls import user_folders
from starcoder_ls.errors import FeedbackStoreUnreadable

logger = logging.getLogger(__name__)

Outcome = Literal["shown", "accepted", "partly", "rejected"]

_SCHEMA_VERSION = 1
_BUSY_TIMEOUT_S = 5.0
_DAY_S = 86_400
_SCHEMA = """
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
class ShownSuggestion:
    """A suggestion as it was shown. ``texts`` are the text before it, after it, and its own, if the user allows it."""

    id: str
    language: str
    model: str
    adapter: str | None
    source: str
    chars: int
    lines: int
    texts: tuple[str, str, str] | None = None


@dataclass(slots=True)
class OutcomeCounts:
    """Numbers of suggestions by outcome. ``kept_percents`` has a value for each accepted one that was checked later."""

    shown: int = 0
    accepted: int = 0
    partly: int = 0
    rejected: int = 0
    kept_percents: list[int] = field(default_factory=list)

    def add(self, outcome: str, kept_percent: int | None) -> None:
        self.shown += 1
        self.accepted += outcome == "accepted"
        self.partly += outcome == "partly"
        self.rejected += outcome == "rejected"
        if kept_percent is not None:
            self.kept_percents.append(kept_percent)

    def __iadd__(self, other: OutcomeCounts) -> OutcomeCounts:
        self.shown += other.shown
        self.accepted += other.accepted
        self.partly += other.partly
        self.rejected += other.rejected
        self.kept_percents += other.kept_percents
        return self

    def summary(self) -> dict[str, float | int | None]:
        """``accepted_percent`` refers to suggestions with a known outcome; the last one of a session may have none."""
        concluded = self.accepted + self.partly + self.rejected
        kept = self.kept_percents
        return {
            "shown": self.shown,
            "accepted": self.accepted,
            "partly": self.partly,
            "rejected": self.rejected,
            "accepted_percent": round(100 * self.accepted / concluded, 1) if concluded else None,
            "looked_at_again": len(kept),
            "kept_percent": round(sum(kept) / len(kept), 1) if kept else None,
        }


def count_outcomes(path: Path | None = None) -> dict[str, OutcomeCounts]:
    """Counts by language; empty if the file does not exist yet. Raises FeedbackStoreUnreadable."""
    database_file = path or store_file()
    if not database_file.exists():
        return {}
    counts: dict[str, OutcomeCounts] = {}
    try:
        with contextlib.closing(sqlite3.connect(f"{database_file.absolute().as_uri()}?mode=ro", uri=True)) as database:
            for language, outcome, kept in database.execute("select language, outcome, kept_percent from suggestions"):
                counts.setdefault(language, OutcomeCounts()).add(outcome, kept)
    except sqlite3.Error as error:
        raise FeedbackStoreUnreadable(
            f"{database_file} cannot be read ({error}). Remove or rename it to start a new one."
        ) from error
    return counts


def store_file() -> Path:
    """`feedback.sqlite3` in `$STARCODER_LS_STATE`, or in the platform's state folder."""
    return user_folders.state_folder() / "feedback.sqlite3"


class FeedbackStore:
    """Writes on a thread, in order. The first row creates the file, with mode 600.

    If the file cannot be written, that is logged once and everything else is ignored.
    """

    def __init__(self, path: Path | None = None, keep_days: int = 90) -> None:
        self._path, self._keep_days = path, keep_days
        self._writer = ThreadPoolExecutor(1, "feedback")
        self._database: sqlite3.Connection | None = None
        self._is_broken = False

    def record_shown(self, shown: ShownSuggestion) -> None:
        """Insert a row. A second call with the same id changes nothing."""
        texts = shown.texts or (None, None, None)
        values = (
            shown.id, time.time(), shown.language, shown.model, shown.adapter, shown.source, shown.chars, shown.lines,
            *texts,
        )  # fmt: skip
        self._submit(
            "insert or ignore into suggestions (id, shown_at, outcome, language, model, adapter, source, chars, lines,"
            " prefix, suffix, suggestion) values (?, ?, 'shown', ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            values,
        )

    def record_outcome(self, suggestion_id: str, outcome: Outcome, accepted_chars: int = 0) -> None:
        """What the user did with the suggestion. A later call overwrites an earlier one."""
        self._submit(
            "update suggestions set outcome = ?, accepted_chars = ? where id = ?",
            (outcome, accepted_chars, suggestion_id),
        )

    def record_kept_percent(self, suggestion_id: str, percent: int) -> None:
        """How much of the accepted text was still in the document later."""
        self._submit("update suggestions set kept_percent = ? where id = ?", (percent, suggestion_id))

    def close(self) -> None:
        """Wait until everything is written, and close the file. Idempotent."""
        self._writer.submit(self._close)
        self._writer.shutdown()

    def _submit(self, statement: str, values: tuple[object, ...]) -> Future[None]:
        return self._writer.submit(self._write, statement, values)

    def _write(self, statement: str, values: tuple[object, ...]) -> None:
        if self._is_broken:
            return
        try:
            if self._database is None:
                self._database = self._open()
            with self._database:
                self._database.execute(statement, tuple(map(_without_surrogates, values)))
        except (sqlite3.Error, OSError) as error:
            self._is_broken = True
            logger.warning("Feedback is not stored: %s cannot be written (%s).", self._path or store_file(), error)

    def _open(self) -> sqlite3.Connection:
        path = self._path or store_file()
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.touch(mode=0o600)
        database = sqlite3.connect(path, timeout=_BUSY_TIMEOUT_S)
        with database:
            version = database.execute("pragma user_version").fetchone()[0]
            if version > _SCHEMA_VERSION:
                raise sqlite3.DatabaseError("it was written by a newer version; remove or rename it")
            database.execute(_SCHEMA)
            database.execute(f"pragma user_version = {_SCHEMA_VERSION}")
            database.execute("delete from suggestions where shown_at < ?", (time.time() - self._keep_days * _DAY_S,))
        return database

    def _close(self) -> None:
        if self._database is not None:
            self._database.close()
            self._database = None


def _without_surrogates(value: object) -> object:
    """SQLite stores UTF-8, which has no lone surrogates; JSON can carry them."""
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value
