"""The rows of a feedback store as values, from files of any version; counts of outcomes.

Decides which outcome counts as kept.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from starcoder_ls.errors import FeedbackStoreUnreadable
from starcoder_ls.feedback_store import schema

Outcome = Literal["shown", "accepted", "partly", "rejected", "closed", "hidden"]
"""``shown``: no outcome yet. ``closed``: the document was closed first. ``hidden``: it was not shown, because it would
probably not have been kept."""

KEPT_PERCENT = 50
"""An accepted suggestion counts as kept if at least so much of it stood there 30 s later."""

TYPED_PERCENT = 90
"""A hidden suggestion would have been kept if the user has typed at least so much of it 30 s later."""


@dataclass(frozen=True, slots=True)
class FeedbackRow:
    """One suggestion; the fields are the columns of ``schema``. None for what an older version did not record."""

    id: str
    shown_at: float
    outcome: str
    language: str
    model: str
    adapter: str | None
    source: str
    chars: int
    lines: int
    accepted_chars: int
    kept_percent: int | None
    prefix: str | None
    suffix: str | None
    suggestion: str | None
    request: str | None = None
    candidate: int | None = None
    path_hash: str | None = None
    features: str | None = None
    probability: float | None = None
    match_percent: int | None = None
    text_10s: str | None = None
    text_30s: str | None = None

    @property
    def is_kept(self) -> bool | None:
        """Whether the suggestion was kept, or a hidden one would have been; None if that is not known."""
        if self.outcome == "accepted":
            return self.kept_percent is None or self.kept_percent >= KEPT_PERCENT
        if self.outcome == "partly":
            return 2 * self.accepted_chars >= self.chars
        if self.outcome == "hidden":
            return None if self.match_percent is None else self.match_percent >= TYPED_PERCENT
        return False if self.outcome == "rejected" else None

    @property
    def parsed_features(self) -> dict[str, float | str] | None:
        """``features``; None if there are none."""
        parsed = json.loads(self.features) if self.features else None
        return parsed if isinstance(parsed, dict) else None


FIELDS = tuple(column.name for column in fields(FeedbackRow))


def read_rows(path: Path | None = None, newest: int | None = None) -> list[FeedbackRow]:
    """The ``newest`` rows, or all, from the oldest to the newest; empty if there is no file.

    Raises FeedbackStoreUnreadable.
    """
    with opened_for_reading(path or schema.store_file()) as database:
        return [] if database is None else select_rows(database, newest)


def select_rows(database: sqlite3.Connection, newest: int | None = None, has_text: bool = True) -> list[FeedbackRow]:
    """As ``read_rows``, without texts if not ``has_text``. Raises sqlite3.Error."""
    known = set(schema.columns(database)) - (set() if has_text else set(schema.TEXTS))
    if not known:
        return []
    selected = ", ".join(name if name in known else "null" for name in FIELDS)
    order = f"select {selected} from suggestions order by shown_at desc, id limit ?"
    rows = [FeedbackRow(*row) for row in database.execute(order, (-1 if newest is None else newest,))]
    return rows[::-1]


@contextlib.contextmanager
def opened_for_reading(path: Path) -> Iterator[sqlite3.Connection | None]:
    """A connection that cannot write; None if the file does not exist. Raises FeedbackStoreUnreadable."""
    if not path.exists():
        yield None
        return
    try:
        with contextlib.closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as database:
            yield database
    except sqlite3.Error as error:
        raise FeedbackStoreUnreadable(
            f"{path} cannot be read ({error}). Remove or rename it to start a new one."
        ) from error


@dataclass(slots=True)
class OutcomeCounts:
    """Numbers of suggestions by outcome. ``kept_percents`` has a value for each accepted one that was checked later.

    ``shown`` has all but the hidden ones. ``hidden_kept`` of the hidden ones would have been kept.
    """

    shown: int = 0
    accepted: int = 0
    partly: int = 0
    rejected: int = 0
    closed: int = 0
    hidden: int = 0
    hidden_kept: int = 0
    kept_percents: list[int] = field(default_factory=list)

    def add(self, outcome: str, kept_percent: int | None, match_percent: int | None = None) -> None:
        if outcome == "hidden":
            self.hidden += 1
            self.hidden_kept += match_percent is not None and match_percent >= TYPED_PERCENT
            return
        self.shown += 1
        self.accepted += outcome == "accepted"
        self.partly += outcome == "partly"
        self.rejected += outcome == "rejected"
        self.closed += outcome == "closed"
        if kept_percent is not None:
            self.kept_percents.append(kept_percent)

    def __iadd__(self, other: OutcomeCounts) -> OutcomeCounts:
        for counted in fields(self):
            setattr(self, counted.name, getattr(self, counted.name) + getattr(other, counted.name))
        return self

    def summary(self) -> dict[str, Any]:
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
            "closed": self.closed,
            "hidden": self.hidden,
            "hidden_would_be_kept": self.hidden_kept,
        }


def count_outcomes(path: Path | None = None) -> dict[str, OutcomeCounts]:
    """Counts by language; empty if the file does not exist yet. Raises FeedbackStoreUnreadable."""
    counts: dict[str, OutcomeCounts] = {}
    with opened_for_reading(path or schema.store_file()) as database:
        known = [] if database is None else schema.columns(database)
        if database is None or not known:
            return {}
        match = "match_percent" if "match_percent" in known else "null"
        for language, *values in database.execute(f"select language, outcome, kept_percent, {match} from suggestions"):
            counts.setdefault(language, OutcomeCounts()).add(*values)
    return counts
