import sqlite3
from pathlib import Path

import pytest

from feedback_files import OLD_COLUMNS, write_first_version
from starcoder_ls.feedback_store import schema
from starcoder_ls.feedback_store.rows import FIELDS
from starcoder_ls.feedback_store.store import FeedbackStore, ShownSuggestion


def test_migration_keeps_every_row_and_old_columns_stay_readable(tmp_path: Path) -> None:
    path = tmp_path / "feedback.sqlite3"
    written = write_first_version(path)
    for _ in range(2):  # the second time there is nothing to migrate
        store = FeedbackStore(path)
        store.record_shown(ShownSuggestion("c", "python", "tiny", None, "model", 1, 1))
        store.close()
    database = sqlite3.connect(path)
    assert database.execute("pragma user_version").fetchone() == (2,)
    assert database.execute(f"select {OLD_COLUMNS} from suggestions where id < 'c'").fetchall() == written
    assert tuple(schema.columns(database)) == FIELDS
    database.close()


def test_file_of_a_newer_version_is_refused_and_unchanged(tmp_path: Path) -> None:
    path = tmp_path / "feedback.sqlite3"
    write_first_version(path)
    database = sqlite3.connect(path)
    database.execute("pragma user_version = 99")
    with pytest.raises(sqlite3.DatabaseError, match="newer version"):
        schema.prepare(database)
    assert "match_percent" not in schema.columns(database)
    database.close()


def test_folder_is_set_by_an_environment_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STARCODER_LS_STATE", str(tmp_path))
    assert schema.store_file() == tmp_path / "feedback.sqlite3"
