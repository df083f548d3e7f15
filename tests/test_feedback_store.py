import sqlite3
import stat
import time
from pathlib import Path

import pytest

from starcoder_ls.feedback_store import FeedbackStore, ShownSuggestion, store_file

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


def test_folder_is_set_by_an_environment_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STARCODER_LS_STATE", str(tmp_path))
    assert store_file() == tmp_path / "feedback.sqlite3"


def test_lone_surrogates_of_a_document_are_stored_as_question_marks(tmp_path: Path) -> None:
    path = tmp_path / "feedback.sqlite3"
    store = FeedbackStore(path)
    store.record_shown(ShownSuggestion("one", "pyth\ud83d", "tiny", None, "model", 1, 1, ("a\ud83d", "b", "c")))
    store.close()
    assert rows(path, "language, prefix, suffix, suggestion") == [("pyth?", "a?", "b", "c")]
