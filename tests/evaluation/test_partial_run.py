from __future__ import annotations

from pathlib import Path

import pytest

from repositories import repository, run_of
from starcoder_ls.errors import SettingsError
from starcoder_ls.evaluation import partial_run
from starcoder_ls.evaluation.partial_run import PartialRun
from starcoder_ls.evaluation.results import ScoredHole

CONDITIONS = {"model": "scripted", "version": "1"}


@pytest.fixture
def holes(tmp_path: Path) -> list[ScoredHole]:
    (tmp_path / "code").mkdir()
    return run_of(repository(tmp_path / "code"), lambda hole: hole.middle).holes


def test_added_holes_are_read_by_a_later_run(holes: list[ScoredHole], tmp_path: Path) -> None:
    first = PartialRun(tmp_path / "run.json", CONDITIONS)
    for hole in holes[:3]:
        first.add(hole)
    later = PartialRun(tmp_path / "run.json", CONDITIONS)
    assert later.holes == {hole.id: hole for hole in holes[:3]}
    later.add(holes[3])
    assert len(PartialRun(tmp_path / "run.json", CONDITIONS).holes) == 4
    partial_run.remove(tmp_path / "run.json")
    assert not list(tmp_path.glob("*.partial"))


def test_run_under_other_conditions_is_replaced(holes: list[ScoredHole], tmp_path: Path) -> None:
    PartialRun(tmp_path / "run.json", CONDITIONS).add(holes[0])
    other = PartialRun(tmp_path / "run.json", CONDITIONS | {"model": "another"})
    assert other.holes == {}
    other.add(holes[1])
    assert PartialRun(tmp_path / "run.json", CONDITIONS).holes == {}


def test_line_that_was_cut_off_is_left_out(holes: list[ScoredHole], tmp_path: Path) -> None:
    partial = PartialRun(tmp_path / "run.json", CONDITIONS)
    for hole in holes[:2]:
        partial.add(hole)
    file = tmp_path / "run.json.partial"
    file.write_text(file.read_text(encoding="utf-8")[:-40], encoding="utf-8")
    assert list(PartialRun(tmp_path / "run.json", CONDITIONS).holes) == [holes[0].id]


def test_nothing_is_kept_without_a_results_file(holes: list[ScoredHole]) -> None:
    partial = PartialRun(None, CONDITIONS)
    partial.add(holes[0])
    assert partial.holes == {}


def test_file_that_cannot_be_written_is_an_error(holes: list[ScoredHole], tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be written"):
        PartialRun(tmp_path / "absent" / "run.json", CONDITIONS).add(holes[0])
