"""Feedback stores: as the first version wrote one, and waiting until one is written."""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path

from starcoder_ls.feedback_store.store import WRITER_THREAD

FIRST_VERSION = """
create table suggestions (
    id text primary key, shown_at real not null, outcome text not null, language text not null, model text not null,
    adapter text, source text not null, chars integer not null, lines integer not null,
    accepted_chars integer not null default 0, kept_percent integer, prefix text, suffix text, suggestion text
);
pragma user_version = 1;
insert into suggestions values ('a', 4e9, 'accepted', 'python', 'tiny', null, 'model', 8, 1, 8, 75, 'p', 's', 'text');
insert into suggestions values ('b', 4e9, 'rejected', 'go', 'tiny', 'mine', 'ahead', 3, 2, 0, null, null, null, null);
"""
OLD_COLUMNS = (
    "id, shown_at, outcome, language, model, adapter, source, chars, lines, accepted_chars, kept_percent, prefix,"
    " suffix, suggestion"
)


def write_first_version(path: Path) -> list[tuple[object, ...]]:
    """Write a file of the first version and return its rows."""
    database = sqlite3.connect(path)
    database.executescript(FIRST_VERSION)
    written: list[tuple[object, ...]] = database.execute(f"select {OLD_COLUMNS} from suggestions").fetchall()
    database.close()
    return written


def join_writers() -> None:
    """Wait until the writers of closed stores have ended, for which a session that ends does not wait."""
    for thread in threading.enumerate():
        if thread.name.startswith(WRITER_THREAD):
            thread.join()
