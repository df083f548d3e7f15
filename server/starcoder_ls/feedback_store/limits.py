"""Keeps a feedback store within its size, and deletes what the user wants to forget.

Decides what goes first: texts of the oldest rows, then the oldest rows. Deleted text is overwritten in the file.
"""

from __future__ import annotations

import contextlib
import sqlite3
from dataclasses import dataclass
from pathlib import Path

from starcoder_ls.errors import FeedbackStoreUnreadable
from starcoder_ls.feedback_store import path_hash, schema

MAX_BYTES = 128 * 1024 * 1024
MAX_ROWS = 100_000
BUSY_TIMEOUT_S = 5.0

_NO_TEXTS = "update suggestions set " + ", ".join(f"{name} = null" for name in schema.TEXTS)
_HAS_TEXT = "suggestion is not null"
_SHARE = 10  # a tenth at once, so that this is rare


@dataclass(frozen=True, slots=True)
class Forgotten:
    """Which rows the user wants to forget: those of ``file``, those before ``before_s`` (seconds since 1970), or all.

    ``texts_only``: only their texts.
    """

    file: Path | None = None
    before_s: float | None = None
    texts_only: bool = False


def delete_old_rows(database: sqlite3.Connection, before_s: float) -> None:
    """Delete the rows that were shown before ``before_s``, in seconds since 1970. Raises sqlite3.Error."""
    with database:
        database.execute("delete from suggestions where shown_at < ?", (before_s,))


def apply_limits(database: sqlite3.Connection, max_bytes: int = MAX_BYTES, max_rows: int = MAX_ROWS) -> None:
    """Delete until the rows take at most ``max_bytes`` and are at most ``max_rows``. Raises sqlite3.Error.

    The freed space is used for later rows; the file does not shrink.
    """
    with database:
        count = _count(database)
        if count > max_rows:
            _apply_to_oldest(database, "delete from suggestions", "true", count - max_rows + max_rows // _SHARE)
        while _used_bytes(database) > max_bytes:
            if texts := _count(database, _HAS_TEXT):
                _apply_to_oldest(database, _NO_TEXTS, _HAS_TEXT, texts // _SHARE + 1)
            elif rows := _count(database):
                _apply_to_oldest(database, "delete from suggestions", "true", rows // _SHARE + 1)
            else:
                return


def forget(rows: Forgotten, database_file: Path | None = None) -> int:
    """Delete ``rows`` or their texts, and return how many. The key of the paths' hashes stays: servers may use it.

    Raises FeedbackStoreUnreadable.
    """
    path = database_file or schema.store_file()
    if not path.exists():
        return 0
    try:
        with contextlib.closing(sqlite3.connect(path, timeout=BUSY_TIMEOUT_S)) as database:
            database.execute("pragma secure_delete = on")
            schema.prepare(database)
            condition, values = _condition(rows, path)
            with database:
                statement = f"{_NO_TEXTS} where {_HAS_TEXT} and" if rows.texts_only else "delete from suggestions where"
                count = database.execute(f"{statement} {condition}", values).rowcount
            database.execute("vacuum")
    except (sqlite3.Error, OSError) as error:
        raise FeedbackStoreUnreadable(
            f"{path} cannot be changed ({error}). Try again later, or delete the file."
        ) from error
    return count


def _condition(rows: Forgotten, database_file: Path) -> tuple[str, tuple[object, ...]]:
    if rows.file is not None:
        key = path_hash.read_key(path_hash.key_file(database_file))
        paths = {str(rows.file.absolute()), str(rows.file.resolve())}
        hashes = tuple(path_hash.hash_path(path, key) for path in sorted(paths)) if key else ()
        return f"path_hash in ({', '.join('?' * len(hashes))})", hashes
    return ("true", ()) if rows.before_s is None else ("shown_at < ?", (rows.before_s,))


def _apply_to_oldest(database: sqlite3.Connection, statement: str, condition: str, count: int) -> None:
    oldest = f"select id from suggestions where {condition} order by shown_at limit ?"
    database.execute(f"{statement} where id in ({oldest})", (count,))


def _count(database: sqlite3.Connection, condition: str = "true") -> int:
    return int(database.execute(f"select count(*) from suggestions where {condition}").fetchone()[0])


def _used_bytes(database: sqlite3.Connection) -> int:
    pages, free, size = (
        database.execute(f"pragma {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size")
    )
    return int((pages - free) * size)
