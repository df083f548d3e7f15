"""The table of suggestions, its versions, and where the file is.

A new version only adds columns, so that programs that read the older ones still can.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

from starcoder_ls import user_folders

VERSION = 2

_FIRST_VERSION = """
create table if not exists suggestions (
    id text primary key,
    shown_at real not null,     -- seconds since 1970
    outcome text not null,      -- shown, accepted, partly, rejected; since version 2 also closed, hidden
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
_SECOND_VERSION = {
    "request": "text",  # the id of the first candidate of the same request
    "candidate": "integer",  # 0 is the most likely
    "path_hash": "text",  # keyed: path_hash.py; null for documents that are not files
    "features": "text",  # JSON: what was known when it was shown, numbers and classes without text
    "probability": "real",  # that it will be kept, as estimated then; null before there are enough outcomes
    "match_percent": "integer",  # how much of it stood there 30 s later, whether it was accepted or not
    "text_10s": "text",  # what stood there 10 s later; null unless the user allows it
    "text_30s": "text",
}

TEXTS = ("prefix", "suffix", "suggestion", "text_10s", "text_30s")
"""The columns with text of documents."""


def store_file() -> Path:
    """`feedback.sqlite3` in `$STARCODER_LS_STATE`, or in the platform's state folder."""
    return user_folders.state_folder() / "feedback.sqlite3"


def prepare(database: sqlite3.Connection) -> None:
    """Create the table, or add the columns that an older version lacks; no row changes.

    Raises sqlite3.Error, also if a newer version wrote the file.
    """
    with database:
        database.execute("begin immediate")  # another process may do the same
        version = database.execute("pragma user_version").fetchone()[0]
        if version > VERSION:
            raise sqlite3.DatabaseError("it was written by a newer version; remove or rename it")
        database.execute(_FIRST_VERSION)
        existing = columns(database)
        for name, kind in _SECOND_VERSION.items():
            if name not in existing:
                database.execute(f"alter table suggestions add column {name} {kind}")
        database.execute(f"pragma user_version = {VERSION}")


def columns(database: sqlite3.Connection) -> list[str]:
    """The names of the table's columns; empty if there is no table."""
    return [row[1] for row in database.execute("pragma table_info(suggestions)")]
