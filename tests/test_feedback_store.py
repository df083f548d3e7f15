import sqlite3
import stat
import time
from pathlib import Path

import pytest

from starcoder_ls.feedback_store import FeedbackStore, Row, file

ROW = Row("one", "python", "tiny", None, "model", 12, 1)


def rows(path: Path, columns: str = "id, outcome, accepted_chars, kept_percent") -> list[tuple[object, ...]]:
    with sqlite3.connect(path) as database:
        found = database.execute(f"select {columns} from suggestions order by id").fetchall()
    database.close()
    return found


def test_what_became_of_a_suggestion_is_one_row(tmp_path: Path) -> None:
    path = tmp_path / "state" / "feedback.sqlite3"
    journal = FeedbackStore(path)
    journal.show(ROW)
    journal.conclude("one", "partly", 4)
    journal.show(ROW)  # a second time says nothing new
    journal.conclude("one", "accepted", 12)
    journal.keep("one", 75)
    journal.close()
    assert rows(path) == [("one", "accepted", 12, 75)]
    assert rows(path, "prefix, suffix, suggestion") == [(None, None, None)]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_text_is_there_only_where_it_was_given(tmp_path: Path) -> None:
    path = tmp_path / "feedback.sqlite3"
    journal = FeedbackStore(path)
    journal.show(Row("two", "python", "tiny", None, "model", 1, 1, ("before", "after", "x")))
    journal.close()
    assert rows(path, "prefix, suffix, suggestion") == [("before", "after", "x")]


def test_old_rows_go_when_the_file_is_opened(tmp_path: Path) -> None:
    path = tmp_path / "feedback.sqlite3"
    journal = FeedbackStore(path)
    journal.show(ROW)
    journal.close()
    with sqlite3.connect(path) as database:
        database.execute("update suggestions set shown_at = ?", (time.time() - 10 * 86_400,))
    database.close()
    for keep_days, left in ((11, 2), (9, 1)):
        journal = FeedbackStore(path, keep_days)
        journal.show(Row("two", "python", "tiny", None, "model", 12, 1))
        journal.close()
        assert len(rows(path)) == left


@pytest.mark.parametrize("text", ["no database at all " * 100, None])
def test_file_that_cannot_be_written_is_said_once(
    tmp_path: Path, text: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "feedback.sqlite3"
    path.write_text(text) if text else path.mkdir()
    journal = FeedbackStore(path)
    for _ in range(3):
        journal.show(ROW)
    journal.close()
    assert len(caplog.records) == 1
    assert str(path) in caplog.text


def test_nothing_is_made_before_there_is_something_to_write(tmp_path: Path) -> None:
    FeedbackStore(tmp_path / "feedback.sqlite3").close()
    assert list(tmp_path.iterdir()) == []


def test_folder_can_be_chosen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STARCODER_LS_STATE", str(tmp_path))
    assert file() == tmp_path / "feedback.sqlite3"
