"""Writes feedback on suggestions to the SQLite file: whether they were accepted, and what became of them.

Rows are written on a thread, so that no request waits for the disk. Old rows are deleted when the file is opened.
"""

from __future__ import annotations

import contextlib
import json
import logging
import sqlite3
import time
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from starcoder_ls.feedback_store import limits, path_hash, schema
from starcoder_ls.feedback_store.rows import FeedbackRow, Outcome, select_rows

logger = logging.getLogger(__name__)

WRITER_THREAD = "feedback"
"""The beginning of the name of the thread that writes."""

_DAY_S = 86_400
_ROWS_BETWEEN_CHECKS = 500

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class ShownSuggestion:
    """A suggestion as it was shown, or hidden. ``texts`` are the text before it, after it, and its own, if the user
    allows it. Only a keyed hash of ``path`` is stored. ``schema`` describes the other fields.
    """

    id: str
    language: str
    model: str
    adapter: str | None
    source: str
    chars: int
    lines: int
    texts: tuple[str, str, str] | None = None
    request: str = ""
    candidate: int = 0
    path: str = ""
    features: Mapping[str, float | str] | None = None
    probability: float | None = None


class FeedbackStore:
    """Writes on a thread, in order. The first row creates the file, with mode 600.

    If the file cannot be written, that is logged once and everything else is ignored. ``clock`` counts seconds since
    1970.
    """

    def __init__(self, path: Path | None = None, keep_days: int = 90, clock: Callable[[], float] = time.time) -> None:
        self._path, self._keep_days, self._clock = path, keep_days, clock
        self._writer = ThreadPoolExecutor(1, WRITER_THREAD)
        self._database: sqlite3.Connection | None = None
        self._is_broken = self._is_scheduled = False
        self._waiting: deque[Callable[[sqlite3.Connection], object]] = deque()
        self._key: bytes | None = None
        self._unchecked_rows = 0
        self._is_closing = False

    def record_shown(self, shown: ShownSuggestion, outcome: Outcome = "shown") -> None:
        """Insert a row. A second call with the same id changes nothing."""
        now_s = self._clock()
        self._submit(lambda database: self._insert(database, shown, outcome, now_s))

    def record_outcome(self, suggestion_id: str, outcome: Outcome, accepted_chars: int = 0) -> None:
        """What the user did with the suggestion. A later call overwrites an earlier one."""
        self._update(suggestion_id, {"outcome": outcome, "accepted_chars": accepted_chars})

    def record_kept_percent(self, suggestion_id: str, percent: int) -> None:
        """How much of the accepted text was still in the document later."""
        self._update(suggestion_id, {"kept_percent": percent})

    def record_match_percent(self, suggestion_id: str, percent: int) -> None:
        """How much of the suggestion stood there 30 s later."""
        self._update(suggestion_id, {"match_percent": percent})

    def record_text(self, suggestion_id: str, seconds: int, text: str) -> None:
        """What stood there ``seconds`` (10 or 30) later."""
        self._update(suggestion_id, {f"text_{seconds}s": text})

    def read_newest(self, count: int) -> Future[list[FeedbackRow]]:
        """The newest rows, without texts, after all that was recorded before; empty if the file cannot be read."""
        return self._writer.submit(self._read, count)

    def close(self) -> None:
        """Wait until everything is written, and close the file. Idempotent."""
        self.close_in_background()
        self._writer.shutdown()

    def close_in_background(self) -> None:
        """As ``close``, without waiting: another program may lock the file for seconds. An exiting interpreter waits
        for the thread."""
        if not self._is_closing:
            self._is_closing = True
            self._writer.submit(self._close)
            self._writer.shutdown(wait=False)

    def _read(self, count: int) -> list[FeedbackRow]:
        if self._database is None and not (self._path or schema.store_file()).exists():
            return []
        return self._run(lambda database: select_rows(database, count, has_text=False), [])

    def _update(self, suggestion_id: str, values: Mapping[str, object]) -> None:
        assignments = ", ".join(f"{name} = ?" for name in values)
        statement = f"update suggestions set {assignments} where id = ?"
        self._submit(lambda database: database.execute(statement, _as_stored(*values.values(), suggestion_id)))

    def _insert(self, database: sqlite3.Connection, shown: ShownSuggestion, outcome: Outcome, now_s: float) -> None:
        prefix, suffix, suggestion = shown.texts or (None, None, None)
        features = None if shown.features is None else json.dumps(dict(shown.features))
        hashed = path_hash.hash_path(shown.path, self._key) if shown.path and self._key else None
        values = {
            "id": shown.id, "shown_at": now_s, "outcome": outcome, "language": shown.language, "model": shown.model,
            "adapter": shown.adapter, "source": shown.source, "chars": shown.chars, "lines": shown.lines,
            "prefix": prefix, "suffix": suffix, "suggestion": suggestion, "request": shown.request or None,
            "candidate": shown.candidate, "path_hash": hashed, "features": features, "probability": shown.probability,
        }  # fmt: skip
        database.execute(
            f"insert or ignore into suggestions ({', '.join(values)}) values ({', '.join('?' * len(values))})",
            _as_stored(*values.values()),
        )
        self._unchecked_rows += 1

    def _submit(self, write: Callable[[sqlite3.Connection], object]) -> None:
        """Writes that come before the thread begins share a transaction: waking it up takes longer than the rest."""
        self._waiting.append(write)
        if not self._is_scheduled:
            self._is_scheduled = True
            self._writer.submit(self._write_waiting)

    def _write_waiting(self) -> None:
        """In the thread."""
        self._is_scheduled = False  # before reading: what is added from now on may schedule this once more

        def write_all(database: sqlite3.Connection) -> None:
            while self._waiting and self._unchecked_rows < _ROWS_BETWEEN_CHECKS:
                self._waiting.popleft()(database)

        while self._waiting and not self._is_broken:
            self._run(write_all, None)
        if self._is_broken:
            self._waiting.clear()

    def _run(self, action: Callable[[sqlite3.Connection], Result], default: Result) -> Result:
        """The result of ``action`` in a transaction; ``default`` if the file cannot be used."""
        if self._is_broken:
            return default
        try:
            if self._database is None:
                self._database = self._open()
            with self._database:
                result = action(self._database)
            if self._unchecked_rows >= _ROWS_BETWEEN_CHECKS:
                self._unchecked_rows = 0
                limits.apply_limits(self._database)
        except (sqlite3.Error, OSError) as error:
            self._is_broken = True
            logger.warning(
                "Feedback is not stored: %s cannot be written (%s).", self._path or schema.store_file(), error
            )
            return default
        return result

    def _open(self) -> sqlite3.Connection:
        path = self._path or schema.store_file()
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.touch(mode=0o600)
        database = sqlite3.connect(path, timeout=limits.BUSY_TIMEOUT_S)
        try:
            database.execute("pragma secure_delete = on")
            schema.prepare(database)
            limits.delete_old_rows(database, self._clock() - self._keep_days * _DAY_S)
            limits.apply_limits(database)
        except sqlite3.Error:
            database.close()
            raise
        with contextlib.suppress(OSError):  # rows without hashes of paths are better than none
            self._key = path_hash.read_or_create_key(path_hash.key_file(path))
        return database

    def _close(self) -> None:
        if self._database is not None:
            self._database.close()
            self._database = None


def _as_stored(*values: object) -> tuple[object, ...]:
    """SQLite stores UTF-8, which has no lone surrogates; JSON can carry them."""
    return tuple(value.encode("utf-8", "replace").decode() if isinstance(value, str) else value for value in values)
