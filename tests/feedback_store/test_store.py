import contextlib
import sqlite3
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from starcoder_ls.feedback_store import limits, path_hash
from starcoder_ls.feedback_store.store import FeedbackStore, ShownSuggestion

SHOWN = ShownSuggestion("one", "python", "tiny", None, "model", 12, 1)


def rows(path: Path, columns: str = "id, outcome, accepted_chars, kept_percent") -> list[tuple[object, ...]]:
    with sqlite3.connect(path) as database:
        found = database.execute(f"select {columns} from suggestions order by id").fetchall()
    database.close()
    return found


def test_suggestion_is_one_row_with_its_last_outcome(tmp_path: Path) -> None:
    path = tmp_path / "state" / "feedback.sqlite3"
    store = FeedbackStore(path)
    store.record_shown(SHOWN)
    store.record_outcome("one", "partly", 4)
    store.record_shown(SHOWN)  # ignored: the id is known
    store.record_outcome("one", "accepted", 12)
    store.record_kept_percent("one", 75)
    store.record_match_percent("one", 75)
    store.close()
    assert rows(path) == [("one", "accepted", 12, 75)]
    assert rows(path, "prefix, suffix, suggestion") == [(None, None, None)]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_texts_are_stored_only_if_given(tmp_path: Path) -> None:
    path = tmp_path / "feedback.sqlite3"
    store = FeedbackStore(path)
    store.record_shown(ShownSuggestion("two", "python", "tiny", None, "model", 1, 1, ("before", "after", "x")))
    store.close()
    assert rows(path, "prefix, suffix, suggestion") == [("before", "after", "x")]


def test_old_rows_are_deleted_when_the_file_is_opened(tmp_path: Path) -> None:
    path = tmp_path / "feedback.sqlite3"
    store = FeedbackStore(path)
    store.record_shown(SHOWN)
    store.close()
    with sqlite3.connect(path) as database:
        database.execute("update suggestions set shown_at = ?", (time.time() - 10 * 86_400,))
    database.close()
    for keep_days, remaining in ((11, 2), (9, 1)):
        store = FeedbackStore(path, keep_days)
        store.record_shown(ShownSuggestion("two", "python", "tiny", None, "model", 12, 1))
        store.close()
        assert len(rows(path)) == remaining


@pytest.mark.parametrize("text", ["no database at all " * 100, None])
def test_file_that_cannot_be_written_is_logged_once(
    tmp_path: Path, text: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "feedback.sqlite3"
    path.write_text(text) if text else path.mkdir()
    store = FeedbackStore(path)
    for _ in range(3):
        store.record_shown(SHOWN)
    store.close()
    assert len(caplog.records) == 1
    assert str(path) in caplog.text


def test_file_is_created_by_the_first_row(tmp_path: Path) -> None:
    FeedbackStore(tmp_path / "feedback.sqlite3").close()
    assert list(tmp_path.iterdir()) == []


def test_close_in_background_does_not_wait_for_another_program(tmp_path: Path) -> None:
    path = tmp_path / "feedback.sqlite3"
    store = FeedbackStore(path)
    store.record_shown(SHOWN)
    store.read_newest(1).result()
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("begin exclusive")
        store.record_outcome("one", "accepted", 12)
        store.close_in_background()  # if it waited, the lock would outlast it and the outcome be lost
    store.close()
    store.close()
    assert rows(path) == [("one", "accepted", 12, None)]


_CLOSE_AND_EXIT = """
import pathlib, sys
from starcoder_ls.feedback_store.store import FeedbackStore, ShownSuggestion

store = FeedbackStore(pathlib.Path(sys.argv[1]))
store.record_shown(ShownSuggestion("two", "python", "tiny", None, "model", 12, 1))
store.close_in_background()
print("closed", flush=True)
"""


def test_process_that_exits_writes_what_was_recorded_before(tmp_path: Path) -> None:
    path = tmp_path / "feedback.sqlite3"
    store = FeedbackStore(path)
    store.record_shown(SHOWN)
    store.close()
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("begin exclusive")
        process = subprocess.Popen([sys.executable, "-c", _CLOSE_AND_EXIT, path], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        with process.stdout as output:
            assert output.readline() == "closed\n"
    assert process.wait() == 0
    assert rows(path, "id") == [("one",), ("two",)]


def test_lone_surrogates_of_a_document_are_stored_as_question_marks(tmp_path: Path) -> None:
    path = tmp_path / "feedback.sqlite3"
    store = FeedbackStore(path)
    store.record_shown(ShownSuggestion("one", "pyth\ud83d", "tiny", None, "model", 1, 1, ("a\ud83d", "b", "c")))
    store.close()
    assert rows(path, "language, prefix, suffix, suggestion") == [("pyth?", "a?", "b", "c")]


def test_row_has_what_was_known_when_it_was_shown(tmp_path: Path) -> None:
    path = tmp_path / "feedback.sqlite3"
    store = FeedbackStore(path, clock=lambda: time.time() + 5)
    features = {"confidence": 0.5, "after": "closer"}
    store.record_shown(
        ShownSuggestion("one", "python", "tiny", None, "model", 1, 1, None, "request", 2, "/p/a.py", features, 0.4)
    )
    store.record_text("one", 10, "wri")
    store.record_text("one", 30, "written")
    (row,) = store.read_newest(9).result()
    store.close()
    assert (row.request, row.candidate, row.probability, row.parsed_features) == ("request", 2, 0.4, features)
    assert row.text_30s is None
    assert rows(path, "text_10s, text_30s") == [("wri", "written")]
    key = path_hash.read_key(tmp_path / "feedback.key")
    assert key is not None
    assert row.path_hash == path_hash.hash_path("/p/a.py", key)
    assert row.shown_at > time.time()


def test_reading_creates_no_file_and_a_broken_file_has_no_rows(tmp_path: Path) -> None:
    path = tmp_path / "feedback.sqlite3"
    store = FeedbackStore(path)
    assert store.read_newest(9).result() == []
    assert list(tmp_path.iterdir()) == []
    path.write_text("no database at all " * 100)
    assert store.read_newest(9).result() == []
    store.close()


def test_rows_without_a_readable_key_have_no_hash(tmp_path: Path) -> None:
    (tmp_path / "feedback.key").mkdir()
    store = FeedbackStore(tmp_path / "feedback.sqlite3")
    store.record_shown(ShownSuggestion("one", "python", "tiny", None, "model", 1, 1, path="/p/a.py"))
    (row,) = store.read_newest(1).result()
    store.close()
    assert row.path_hash is None


def test_limits_are_applied_while_rows_are_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("starcoder_ls.feedback_store.store._ROWS_BETWEEN_CHECKS", 10)
    calls: list[int] = []
    monkeypatch.setattr(limits, "apply_limits", lambda database: calls.append(database.total_changes))
    store = FeedbackStore(tmp_path / "feedback.sqlite3")
    for number in range(25):
        store.record_shown(ShownSuggestion(str(number), "python", "tiny", None, "model", 1, 1))
    store.close()
    assert len(calls) == 3  # when it was opened, and after 10 and 20 rows
