from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner

from starcoder_ls.cli.application import application
from starcoder_ls.commands import feedback_forget
from starcoder_ls.feedback_store.rows import read_rows
from starcoder_ls.feedback_store.store import FeedbackStore, ShownSuggestion


@pytest.fixture(autouse=True)
def stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A row of yesterday and one of today, about two files in the current folder."""
    monkeypatch.setenv("STARCODER_LS_STATE", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    now_s = datetime.now().astimezone().replace(hour=12).timestamp()
    for name, shown_at in (("a", now_s - 86_400), ("b", now_s)):
        store = FeedbackStore(clock=lambda shown_at=shown_at: shown_at)  # type: ignore[misc]
        path = str(tmp_path / f"{name}.py")
        store.record_shown(ShownSuggestion(name, "python", "t", None, "model", 3, 1, ("x", "y", "z"), path=path))
        store.close()


def stored_ids() -> list[str]:
    return [row.id for row in read_rows()]


def test_rows_of_a_file_are_deleted(capsys: pytest.CaptureFixture[str]) -> None:
    assert feedback_forget.run(Path("b.py"), None, is_text_only=False) == 0
    assert "deleted: 1 suggestion\n" in capsys.readouterr().out
    assert stored_ids() == ["a"]


def test_rows_from_before_a_day_are_deleted() -> None:
    today = datetime.now().astimezone().replace(hour=0, minute=0, second=0)
    assert feedback_forget.run(None, today, is_text_only=False) == 0
    assert stored_ids() == ["b"]


def test_texts_are_deleted_and_outcomes_stay(capsys: pytest.CaptureFixture[str]) -> None:
    assert feedback_forget.run(None, None, is_text_only=True) == 0
    assert "deleted: the text of 2 suggestions" in capsys.readouterr().out
    assert [row.suggestion for row in read_rows()] == [None, None]


@pytest.mark.parametrize("arguments", [(), ("--all", "--text"), ("--all", "--file", "a.py")])
def test_one_thing_must_be_named(arguments: tuple[str, ...]) -> None:
    result = CliRunner().invoke(application, ["feedback", "forget", *arguments])
    assert result.exit_code == 2
    assert len(stored_ids()) == 2


def test_all_is_named_explicitly() -> None:
    assert CliRunner().invoke(application, ["feedback", "forget", "--all"]).exit_code == 0
    assert stored_ids() == []
