from __future__ import annotations

import json
from pathlib import Path

import pytest

from starcoder_ls.commands import stats
from starcoder_ls.completion.metrics import Metrics
from starcoder_ls.completion.suggestion import Source
from starcoder_ls.errors import FeedbackStoreUnreadable
from starcoder_ls.feedback_store import FeedbackStore, Row
from starcoder_ls.generation import Timings


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("STARCODER_LS_STATE", str(tmp_path))
    return tmp_path / "stats"


def answered(source: Source) -> Metrics:
    metrics = Metrics()
    metrics.record_answer(source, 12.0, Timings(prompt_tokens=9), is_empty=False)
    return metrics


def test_numbers_of_all_servers_are_summed(capsys: pytest.CaptureFixture[str], state: Path) -> None:
    for number, source in enumerate((Source.MODEL, Source.MEMORY)):
        metrics = answered(source)
        metrics.started_s = number
        with stats.kept(metrics):
            pass
    (state / "9-9.json").write_text("not ours")
    assert stats.run(is_json=True) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["total"]["answers"] == {"model": 1, "resumed": 0, "memory": 1, "ahead": 0}
    assert printed["total"]["without_model_percent"] == 50.0
    assert len(printed["servers"]) == 2
    assert stats.run(is_json=False) == 0
    assert "without the model" in capsys.readouterr().out


def row(key: str, language: str = "python") -> Row:
    return Row(key, language, "bundled", None, "model", 8, 1)


def test_what_became_of_suggestions_is_counted_by_language(capsys: pytest.CaptureFixture[str]) -> None:
    written = FeedbackStore()
    for key, language in (("1", "python"), ("2", "python"), ("3", "python"), ("4", "python"), ("5", "go")):
        written.show(row(key, language))
    written.conclude("1", "accepted", 8)
    written.keep("1", 50)
    written.conclude("2", "rejected")
    written.conclude("3", "partly", 4)
    written.conclude("5", "accepted", 8)
    written.keep("5", 100)
    written.close()
    assert stats.run(is_json=True) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["suggestions"]["python"] == {
        "shown": 4, "accepted": 1, "partly": 1, "rejected": 1,
        "accepted_percent": 33.3, "looked_at_again": 1, "kept_percent": 50.0,
    }  # fmt: skip
    assert printed["suggestions"]["go"]["accepted_percent"] == 100.0
    assert stats.run(is_json=False) == 0
    rows = [" ".join(line.replace("│", " ").split()) for line in capsys.readouterr().out.splitlines()]
    assert "all 5 2 (50.0 %) 1 1 75.0 % of 2" in rows


def test_a_file_of_feedback_that_is_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "feedback.sqlite3").write_text("no database " * 100)
    with pytest.raises(FeedbackStoreUnreadable, match=r"feedback\.sqlite3 cannot be read .* Remove or rename it"):
        stats.run(is_json=True)


def test_no_numbers_yet_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    with stats.kept(Metrics()):
        pass
    assert stats.run(is_json=True) == 1
    assert "no server" in capsys.readouterr().err


def test_only_this_user_may_read_and_old_ones_go(state: Path) -> None:
    for number in range(33):
        metrics = answered(Source.MODEL)
        metrics.started_s = 100 + number
        with stats.kept(metrics):
            pass
    files = sorted(state.glob("*"))
    assert len(files) == 30
    assert {file.stat().st_mode & 0o777 for file in files} == {0o600}
    assert files[0].name.startswith("103-")


def test_folder_that_cannot_be_written_stops_nothing(tmp_path: Path) -> None:
    (tmp_path / "stats").write_text("a file where the folder should be")
    with stats.kept(answered(Source.MODEL)):
        pass
