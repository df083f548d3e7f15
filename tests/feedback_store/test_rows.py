from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from feedback_files import write_first_version
from starcoder_ls.errors import FeedbackStoreUnreadable
from starcoder_ls.feedback_store.rows import FeedbackRow, OutcomeCounts, count_outcomes, read_rows
from starcoder_ls.feedback_store.store import FeedbackStore, ShownSuggestion

ROW = FeedbackRow("1", 1.0, "shown", "python", "tiny", None, "model", 10, 1, 0, None, None, None, None)


@pytest.mark.parametrize(
    ("changes", "is_kept"),
    [
        ({"outcome": "shown"}, None),
        ({"outcome": "closed"}, None),
        ({"outcome": "rejected", "match_percent": 100}, False),
        ({"outcome": "accepted"}, True),
        ({"outcome": "accepted", "kept_percent": 49}, False),
        ({"outcome": "partly", "accepted_chars": 4}, False),
        ({"outcome": "partly", "accepted_chars": 5}, True),
        ({"outcome": "hidden"}, None),
        ({"outcome": "hidden", "match_percent": 89}, False),
        ({"outcome": "hidden", "match_percent": 90}, True),
    ],
)
def test_row_is_kept_by_its_outcome(changes: dict[str, object], is_kept: bool | None) -> None:
    assert replace(ROW, **changes).is_kept is is_kept  # type: ignore[arg-type]


def test_features_that_are_no_object_are_none() -> None:
    assert replace(ROW, features='{"chars": 3}').parsed_features == {"chars": 3}
    assert replace(ROW, features="[]").parsed_features is None
    assert ROW.parsed_features is None


def test_rows_are_read_from_the_oldest_to_the_newest(tmp_path: Path) -> None:
    times = iter(range(10_000_000_000, 10_000_000_009))
    store = FeedbackStore(tmp_path / "feedback.sqlite3", clock=lambda: next(times))
    for name in ("first", "second", "third"):
        store.record_shown(ShownSuggestion(name, "python", "tiny", None, "model", 1, 1))
    store.close()
    path = tmp_path / "feedback.sqlite3"
    assert [row.id for row in read_rows(path)] == ["first", "second", "third"]
    assert [row.id for row in read_rows(path, newest=2)] == ["second", "third"]
    assert read_rows(tmp_path / "missing") == []


def test_counts_keep_hidden_and_closed_apart() -> None:
    counts = OutcomeCounts()
    for outcome, match in (("accepted", 100), ("rejected", 0), ("closed", None), ("hidden", 95), ("hidden", 20)):
        counts.add(outcome, None, match)
    counts += counts
    summary = counts.summary()
    assert (summary["shown"], summary["closed"], summary["accepted_percent"]) == (6, 2, 50.0)
    assert (summary["hidden"], summary["hidden_would_be_kept"]) == (4, 2)


def test_counts_of_the_first_version_and_of_an_empty_file_are_read(tmp_path: Path) -> None:
    path = tmp_path / "feedback.sqlite3"
    path.touch()
    assert count_outcomes(path) == {}
    path.unlink()
    write_first_version(path)
    assert {name: counts.shown for name, counts in count_outcomes(path).items()} == {"python": 1, "go": 1}
    assert [row.match_percent for row in read_rows(path)] == [None, None]


def test_file_that_is_no_database_is_an_error_with_its_path(tmp_path: Path) -> None:
    path = tmp_path / "feedback.sqlite3"
    path.write_text("no database " * 100)
    with pytest.raises(FeedbackStoreUnreadable, match=r"feedback\.sqlite3 cannot be read"):
        read_rows(path)
