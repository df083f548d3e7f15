from __future__ import annotations

import json
import os
import stat
import subprocess
from pathlib import Path

import pytest

from starcoder_ls.commands import feedback_export
from starcoder_ls.errors import FeedbackStoreUnreadable
from starcoder_ls.feedback_store.store import FeedbackStore, ShownSuggestion


@pytest.fixture(autouse=True)
def stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STARCODER_LS_STATE", str(tmp_path))
    store = FeedbackStore()
    store.record_shown(ShownSuggestion("1", "python", "t", None, "model", 3, 1, ("before", "after", "é")))
    store.close()


def test_rows_are_written_to_a_file_that_only_the_user_can_read(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    assert feedback_export.run(file, has_text=True) == 0
    (line,) = file.read_text(encoding="utf-8").splitlines()
    assert json.loads(line)["suggestion"] == "é"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_file_that_others_could_read_is_replaced_by_one_that_they_cannot(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text("old")
    file.chmod(0o644)
    assert feedback_export.run(file, has_text=True) == 0
    assert json.loads(file.read_text(encoding="utf-8"))["suggestion"] == "é"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_named_pipe_is_written_to(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = subprocess.Popen(["cat", str(pipe)], stdout=subprocess.PIPE)
    assert feedback_export.run(pipe, has_text=True) == 0
    assert json.loads(reader.communicate(timeout=10)[0])["suggestion"] == "é"
    assert stat.S_ISFIFO(pipe.stat().st_mode)


def test_rows_without_text_are_written_to_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    assert feedback_export.run(Path("-"), has_text=False) == 0
    row = json.loads(capsys.readouterr().out)
    assert row["id"] == "1"
    assert not {"prefix", "suffix", "suggestion", "text_10s", "text_30s"} & row.keys()


def test_file_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FeedbackStoreUnreadable, match="cannot be written"):
        feedback_export.run(tmp_path, has_text=True)
