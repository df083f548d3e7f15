from pathlib import Path

import pytest

from starcoder_ls.errors import SettingsError
from starcoder_ls.evaluation.sequential_test import MIN_FILES
from starcoder_ls.learning.finetuning.git_times import CommitTimes
from starcoder_ls.learning.finetuning.repository_files import CodeFile
from starcoder_ls.learning.finetuning.slices import Slice, split_files


def files(count: int, first_s: int | None = None) -> list[CodeFile]:
    times = None if first_s is None else CommitTimes(first_s, first_s)
    return [CodeFile(Path("/r"), f"{first_s}/{number}.py", "x", times=times) for number in range(count)]


def test_each_file_is_in_one_slice_and_stays_there_when_others_come() -> None:
    few, many = split_files(files(200)), split_files(files(400))
    names = [file.name for part in few.values() for file in part]
    assert sorted(names) == sorted(file.name for file in files(200))
    assert 10 <= len(few[Slice.HELD_OUT]) <= 40
    for part in Slice:
        assert {file.name for file in few[part]} <= {file.name for file in many[part]}


def test_newest_files_are_held_out_unless_all_came_at_once() -> None:
    dated = split_files([*files(90, 1000), *files(10, 2000)])
    assert {file.name for file in files(10, 2000)} <= {file.name for file in dated[Slice.HELD_OUT]}
    assert len(split_files(files(200, 1000))[Slice.HELD_OUT]) <= 40
    assert len(split_files([*files(80, 1000), *files(120, 2000)])[Slice.HELD_OUT]) <= 40


def test_small_repository_holds_out_enough_files_for_the_gate() -> None:
    for count in (30, 59, 60, 100, 199, 200):
        held_out = len(split_files(files(count))[Slice.HELD_OUT])
        assert MIN_FILES <= held_out <= count * 0.4, count


def test_no_slice_is_empty_and_too_few_files_are_refused() -> None:
    for count in range(10, 15):
        assert all(split_files(files(count)).values())
    with pytest.raises(SettingsError, match="only 9 usable"):
        split_files(files(9))
