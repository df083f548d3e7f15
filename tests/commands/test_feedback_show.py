from __future__ import annotations

import json
from pathlib import Path

import pytest

from starcoder_ls.commands import feedback_show
from starcoder_ls.feedback_store.store import FeedbackStore, ShownSuggestion


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STARCODER_LS_STATE", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "200")


def write_rows() -> None:
    store = FeedbackStore()
    store.record_shown(ShownSuggestion("1", "python", "t", None, "model", 3, 1, path="/a.py", features={"chars": 3}))
    texts = ("before", "after", "sug\x1b[2Jgested")
    store.record_shown(ShownSuggestion("2", "go", "t", None, "model", 4, 1, texts, path="/b.go"))
    store.record_outcome("2", "rejected")
    store.record_match_percent("2", 40)
    store.record_text("2", 30, "written")
    store.close()


def test_summary_and_newest_suggestions_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    write_rows()
    assert feedback_show.run(1, has_text=False, is_json=False) == 0
    output = capsys.readouterr().out
    assert "2 suggestions since" in output
    assert "1 of them with text, in 2 documents" in output.replace("\n", " ")
    assert "go" in output
    assert "40 %" in output
    assert "python" not in output
    assert "written" not in output


def test_stored_text_cannot_control_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    write_rows()
    assert feedback_show.run(9, has_text=True, is_json=False) == 0
    output = capsys.readouterr().out
    assert "\x1b[2J" not in output
    assert "\\x1b[2J" in output
    assert "written" in output


@pytest.mark.parametrize("has_text", [False, True])
def test_json_has_the_texts_only_on_request(has_text: bool, capsys: pytest.CaptureFixture[str]) -> None:
    write_rows()
    assert feedback_show.run(9, has_text, is_json=True) == 0
    printed = json.loads(capsys.readouterr().out)
    assert (printed["suggestions"], printed["with_text"], printed["files"]) == (2, 1, 2)
    assert printed["newest"][0]["features"] == {"chars": 3}
    assert ("suggestion" in printed["newest"][1]) is has_text


def test_exit_code_is_1_if_nothing_is_stored(capsys: pytest.CaptureFixture[str]) -> None:
    assert feedback_show.run(9, has_text=False, is_json=False) == 1
    assert "nothing is stored" in capsys.readouterr().out
    assert feedback_show.run(9, has_text=False, is_json=True) == 1
    assert json.loads(capsys.readouterr().out)["newest"] == []
