from __future__ import annotations

import json
from pathlib import Path

import pytest

from commit_history import History
from starcoder_ls.commands.eval_edits import HistoryOptions, run
from starcoder_ls.errors import SettingsError

CODE = "def load(path):\n    return path\n\n\nx = load(1) + load(2)\n"


def test_scores_of_a_folder_are_printed_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "files.py").write_text(CODE)
    (tmp_path / "broken.py").write_text("def f(:\n")
    assert run([tmp_path], files=5, changes=5, seed=0, is_json=True) == 0
    scores = json.loads(capsys.readouterr().out)
    assert scores["files"] == 1
    assert scores["renames"]["remaining"] == 3
    assert (scores["renames"]["offered_percent"], scores["renames"]["correct_percent"]) == (100.0, 100.0)
    assert scores["arguments"]["wrong"] == 0
    assert scores["typing"]["offers_while_typing"] == 0


def test_scores_are_printed_as_a_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "files.py").write_text(CODE)
    run([tmp_path], files=5, changes=5, seed=0, is_json=False)
    assert "renames" in capsys.readouterr().out


def test_folder_without_valid_python_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("def f(:\n")
    with pytest.raises(SettingsError, match="valid Python"):
        run([tmp_path], files=5, changes=5, seed=0, is_json=False)


def test_history_needs_a_model_that_edits(tmp_path: Path) -> None:
    folder = _repository(tmp_path)
    with pytest.raises(SettingsError, match="proposes no edits"):
        run([folder], 5, 5, 0, True, HistoryOptions(3))


def test_history_without_changes_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "files.py").write_text(CODE)
    with pytest.raises(SettingsError, match="in no git repository"):
        run([tmp_path], 5, 5, 0, True, HistoryOptions(3))


def _repository(folder: Path) -> Path:
    """A repository with two commits, of which the second changes a line."""
    history = History(folder)
    for text in (CODE, CODE.replace("(2)", "(3)")):
        history.commit("Load the third file", {"files.py": text})
    return folder
