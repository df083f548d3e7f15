from __future__ import annotations

from pathlib import Path

import pytest

from starcoder_ls.commands.support.metrics_files import read_metrics, recorded
from starcoder_ls.completion.metrics import Metrics
from starcoder_ls.completion.suggestion import Source
from starcoder_ls.generation import Timings


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("STARCODER_LS_STATE", str(tmp_path))
    return tmp_path / "stats"


def metrics_with_an_answer() -> Metrics:
    metrics = Metrics()
    metrics.record_answer(Source.MODEL, 12.0, Timings(prompt_tokens=9), is_empty=False)
    return metrics


def test_metrics_are_written_at_the_end_and_other_files_skipped(folder: Path) -> None:
    with recorded(metrics_with_an_answer()):
        pass
    (folder / "9-9.json").write_text("not ours")
    (summary,) = read_metrics()
    assert summary["answers"]["model"] == 1


def test_files_are_private_and_the_oldest_are_deleted(folder: Path) -> None:
    for number in range(33):
        metrics = metrics_with_an_answer()
        metrics.started_s = 100 + number
        with recorded(metrics):
            pass
    files = sorted(folder.glob("*"))
    assert len(files) == 30
    assert {file.stat().st_mode & 0o777 for file in files} == {0o600}
    assert files[0].name.startswith("103-")


def test_folder_that_cannot_be_written_is_ignored(folder: Path) -> None:
    folder.write_text("a file instead of the folder")
    with recorded(metrics_with_an_answer()):
        pass
