from __future__ import annotations

import json
from pathlib import Path

import pytest

from starcoder_ls.commands import stats
from starcoder_ls.commands.support import metrics_files
from starcoder_ls.completion.metrics import Metrics
from starcoder_ls.completion.suggestion import Source
from starcoder_ls.errors import FeedbackStoreUnreadable
from starcoder_ls.feedback_store.store import FeedbackStore, ShownSuggestion
from starcoder_ls.generation import Timings


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STARCODER_LS_STATE", str(tmp_path))


def metrics_with_an_answer(source: Source) -> Metrics:
    metrics = Metrics()
    metrics.record_answer(source, 12.0, Timings(prompt_tokens=9), is_empty=False)
    return metrics


def test_metrics_of_all_servers_are_summed(capsys: pytest.CaptureFixture[str]) -> None:
    for number, source in enumerate((Source.MODEL, Source.MEMORY)):
        metrics = metrics_with_an_answer(source)
        metrics.started_s = number
        with metrics_files.recorded(metrics):
            pass
    assert stats.run(is_json=True) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["total"]["answers"] == {"model": 1, "resumed": 0, "memory": 1, "ahead": 0}
    assert printed["total"]["without_model_percent"] == 50.0
    assert len(printed["servers"]) == 2
    assert stats.run(is_json=False) == 0
    assert "without the model" in capsys.readouterr().out


def shown(suggestion_id: str, language: str = "python") -> ShownSuggestion:
    return ShownSuggestion(suggestion_id, language, "bundled", None, "model", 8, 1)


def test_outcomes_of_suggestions_are_counted_by_language(capsys: pytest.CaptureFixture[str]) -> None:
    store = FeedbackStore()
    for suggestion_id, language in (("1", "python"), ("2", "python"), ("3", "python"), ("4", "python"), ("5", "go")):
        store.record_shown(shown(suggestion_id, language))
    store.record_outcome("1", "accepted", 8)
    store.record_kept_percent("1", 50)
    store.record_outcome("2", "rejected")
    store.record_outcome("3", "partly", 4)
    store.record_outcome("5", "accepted", 8)
    store.record_kept_percent("5", 100)
    store.close()
    assert stats.run(is_json=True) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["suggestions"]["python"] == {
        "shown": 4, "accepted": 1, "partly": 1, "rejected": 1,
        "accepted_percent": 33.3, "looked_at_again": 1, "kept_percent": 50.0,
        "closed": 0, "hidden": 0, "hidden_would_be_kept": 0,
    }  # fmt: skip
    assert printed["suggestions"]["go"]["accepted_percent"] == 100.0
    assert stats.run(is_json=False) == 0
    rows = [" ".join(line.replace("│", " ").split()) for line in capsys.readouterr().out.splitlines()]
    assert "all 5 2 (50.0 %) 1 1 0 75.0 % of 2" in rows


def test_hidden_suggestions_are_counted_beside_the_shown_ones(capsys: pytest.CaptureFixture[str]) -> None:
    store = FeedbackStore()
    store.record_shown(shown("1"))
    store.record_outcome("1", "closed")
    for suggestion_id, percent in (("2", 95), ("3", 10)):
        store.record_shown(shown(suggestion_id), "hidden")
        store.record_match_percent(suggestion_id, percent)
    store.close()
    assert stats.run(is_json=True) == 0
    counts = json.loads(capsys.readouterr().out)["suggestions"]["python"]
    assert (counts["shown"], counts["closed"], counts["hidden"], counts["hidden_would_be_kept"]) == (1, 1, 2, 1)
    assert stats.run(is_json=False) == 0
    rows = [" ".join(line.replace("│", " ").split()) for line in capsys.readouterr().out.splitlines()]
    assert "python 1 0 0 0 1 2 (1)" in rows


def test_unreadable_feedback_store_is_an_error_with_its_path(tmp_path: Path) -> None:
    (tmp_path / "feedback.sqlite3").write_text("no database " * 100)
    with pytest.raises(FeedbackStoreUnreadable, match=r"feedback\.sqlite3 cannot be read .* Remove or rename it"):
        stats.run(is_json=True)


def test_exit_code_is_1_before_any_server_has_answered(capsys: pytest.CaptureFixture[str]) -> None:
    with metrics_files.recorded(Metrics()):
        pass
    assert stats.run(is_json=True) == 1
    assert "no server" in capsys.readouterr().err
