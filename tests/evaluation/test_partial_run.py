from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

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


def partial(folder: Path | None, **changes: Any) -> PartialRun[ScoredHole]:
    """The run of the results ``run.json`` in a folder, with ``changes`` of its conditions."""
    return PartialRun(folder and folder / "run.json", CONDITIONS | changes, ScoredHole)


def test_added_holes_are_read_by_a_later_run(holes: list[ScoredHole], tmp_path: Path) -> None:
    first = partial(tmp_path)
    for hole in holes[:3]:
        first.add(hole.id, hole)
    later = partial(tmp_path)
    assert later.answers == {hole.id: hole for hole in holes[:3]}
    later.add(holes[3].id, holes[3])
    assert len(partial(tmp_path).answers) == 4
    partial_run.remove(tmp_path / "run.json")
    assert not list(tmp_path.glob("*.partial"))


def test_run_under_other_conditions_is_replaced(holes: list[ScoredHole], tmp_path: Path) -> None:
    partial(tmp_path).add("a", holes[0])
    assert partial(tmp_path).changed == []
    other = partial(tmp_path, model="another", seed=1)
    assert (other.answers, other.changed) == ({}, ["model", "seed"])
    other.add("b", holes[1])
    assert partial(tmp_path).answers == {}
    assert partial(tmp_path, model="another", seed=1).answers == {"b": holes[1]}


def test_line_that_was_cut_off_is_left_out_and_ended(holes: list[ScoredHole], tmp_path: Path) -> None:
    first = partial(tmp_path)
    for hole in holes[:2]:
        first.add(hole.id, hole)
    file = tmp_path / "run.json.partial"
    file.write_text(file.read_text(encoding="utf-8")[:-40], encoding="utf-8")
    later = partial(tmp_path)
    assert list(later.answers) == [holes[0].id]
    for hole in holes[1:3]:
        later.add(hole.id, hole)
    assert list(partial(tmp_path).answers) == [hole.id for hole in holes[:3]]


@pytest.mark.parametrize("text", ["", "\n", "[1]\n", '{"model": "scr'])
def test_file_without_conditions_is_replaced(text: str, holes: list[ScoredHole], tmp_path: Path) -> None:
    (tmp_path / "run.json.partial").write_text(text, encoding="utf-8")
    run = partial(tmp_path)
    assert run.answers == {}
    run.add("a", holes[0])
    assert partial(tmp_path).answers == {"a": holes[0]}


def test_line_of_another_form_is_left_out(holes: list[ScoredHole], tmp_path: Path) -> None:
    partial(tmp_path).add("a", holes[0])
    with (tmp_path / "run.json.partial").open("a", encoding="utf-8") as file:
        file.write('3\n["b"]\n["b", {"id": 1}]\n{"a": 1, "b": 2}\nnull\n')
    assert partial(tmp_path).answers == {"a": holes[0]}


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no modes of files")
def test_file_is_readable_by_this_user_only(holes: list[ScoredHole], tmp_path: Path) -> None:
    partial(tmp_path).add("a", holes[0])
    assert (tmp_path / "run.json.partial").stat().st_mode & 0o777 == 0o600


def test_nothing_is_kept_without_a_results_file(holes: list[ScoredHole]) -> None:
    run = partial(None)
    run.add("a", holes[0])
    assert run.answers == {}


def test_file_that_cannot_be_written_is_an_error(holes: list[ScoredHole], tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be written"):
        partial(tmp_path / "absent").add("a", holes[0])
