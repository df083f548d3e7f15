from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from starcoder_ls.errors import FeedbackStoreUnreadable
from starcoder_ls.feedback_store.limits import Forgotten, apply_limits, forget
from starcoder_ls.feedback_store.rows import read_rows
from starcoder_ls.feedback_store.store import FeedbackStore, ShownSuggestion

START_S = 10_000_000_000
TEXTS = ("unmistakable" * 1_500, "after", "suggested")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A store of 20 rows with text, one a second, alternating between two files."""
    times = iter(range(START_S, START_S + 99))
    store = FeedbackStore(tmp_path / "feedback.sqlite3", clock=lambda: next(times))
    for number in range(20):
        file = str(tmp_path / f"{number % 2}.py")
        store.record_shown(ShownSuggestion(f"{number:02}", "python", "t", None, "model", 9, 1, TEXTS, path=file))
    store.close()
    return tmp_path / "feedback.sqlite3"


@pytest.fixture
def database(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(path)) as connection:
        yield connection


def used_bytes(database: sqlite3.Connection) -> int:
    pages, free = (database.execute(f"pragma {name}").fetchone()[0] for name in ("page_count", "freelist_count"))
    return int(4096 * (pages - free))


def test_texts_of_the_oldest_rows_go_first(path: Path, database: sqlite3.Connection) -> None:
    apply_limits(database, max_bytes=used_bytes(database) // 2)
    rows = read_rows(path)
    assert len(rows) == 20
    texts = [row.suggestion is not None for row in rows]
    assert texts == sorted(texts)
    assert 0 < sum(texts) < 12


def test_rows_go_when_no_text_is_left(path: Path, database: sqlite3.Connection) -> None:
    apply_limits(database, max_bytes=1)
    assert read_rows(path) == []


def test_oldest_rows_beyond_the_number_are_deleted(path: Path, database: sqlite3.Connection) -> None:
    apply_limits(database, max_rows=10)
    assert [row.id for row in read_rows(path)] == [f"{number:02}" for number in range(11, 20)]


def test_file_within_its_limits_is_not_changed(database: sqlite3.Connection) -> None:
    apply_limits(database)
    assert database.total_changes == 0


def test_forgetting_a_file_deletes_its_rows_only(path: Path) -> None:
    assert forget(Forgotten(file=path.parent / "missing.py"), path) == 0
    assert forget(Forgotten(file=path.parent / "0.py"), path) == 10
    assert [int(row.id) % 2 for row in read_rows(path)] == [1] * 10


def test_forgotten_texts_are_not_left_in_the_file(path: Path) -> None:
    assert b"unmistakable" in path.read_bytes()
    assert forget(Forgotten(texts_only=True), path) == 20
    assert len(read_rows(path)) == 20
    assert b"unmistakable" not in path.read_bytes()


def test_forgetting_rows_by_time_and_all_of_them(path: Path) -> None:
    assert forget(Forgotten(before_s=read_rows(path)[5].shown_at), path) == 5
    assert forget(Forgotten(), path) == 15
    assert read_rows(path) == []
    assert forget(Forgotten(), path.parent / "missing") == 0


def test_file_that_cannot_be_changed_is_an_error(tmp_path: Path) -> None:
    broken = tmp_path / "feedback.sqlite3"
    broken.write_text("no database " * 100)
    with pytest.raises(FeedbackStoreUnreadable, match="cannot be changed"):
        forget(Forgotten(), broken)
