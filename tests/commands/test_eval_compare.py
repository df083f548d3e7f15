from __future__ import annotations

import json
from pathlib import Path

import pytest

from repositories import repository, run_of
from starcoder_ls.commands import eval_compare
from starcoder_ls.errors import SettingsError
from starcoder_ls.evaluation import results


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    (tmp_path / "code").mkdir()
    folder = repository(tmp_path / "code")
    first, second = tmp_path / "silence.json", tmp_path / "gold.json"
    results.write_run(run_of(folder, lambda _: ""), first)
    results.write_run(run_of(folder, lambda hole: hole.middle), second)
    return first, second


def test_verdict_is_printed_before_the_table(files: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert eval_compare.run(*files, is_json=False) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("gold.json is better than silence.json")
    for text in ("single-line", "no answer", "-100.0*", "+100.0 to +100.0"):
        assert text in printed


def test_json_result_is_one_object(files: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert eval_compare.run(*files, is_json=True) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["is_certain"] is True
    assert result["worse"] == 0
    assert result["p"] < 0.05
    assert result["ratio"] is None
    assert {row["hole"] for row in result["rows"]} == {"single-line", "rest of line", "block", "random span", "all"}


def test_files_of_the_same_name_are_shown_with_their_paths(
    files: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    other = files[0].parent / "other" / "silence.json"
    other.parent.mkdir()
    other.write_text(files[0].read_text())
    eval_compare.run(files[0], other, is_json=True)
    assert str(other) in json.loads(capsys.readouterr().out)["sentence"]


def test_runs_over_different_holes_are_an_error(files: tuple[Path, Path]) -> None:
    tree = json.loads(files[1].read_text())
    tree["holes"].pop()
    files[1].write_text(json.dumps(tree))
    with pytest.raises(SettingsError, match=r"silence\.json and gold\.json are not runs over the same holes"):
        eval_compare.run(*files, is_json=False)
