from pathlib import Path

import pytest

from starcoder_ls.errors import SettingsError
from starcoder_ls.learning.finetuning.git_times import CommitTimes
from starcoder_ls.learning.finetuning.repository_files import CodeFile
from starcoder_ls.learning.finetuning.slices import Slice, split_files


def files(count: int, first_s: int | None = None) -> list[CodeFile]:
    times = None if first_s is None else CommitTimes(first_s, first_s)
    return [CodeFile(Path("/r"), f"{first_s}/{number}.py", "x", times=times) for number in range(count)]


def test_each_file_is_in_one_slice_and_stays_there_when_others_come() -> None:
    few, many = split_files(files(100)), split_files(files(300))
    names = [file.name for part in few.values() for file in part]
    assert sorted(names) == sorted(file.name for file in files(100))
    assert 3 <= len(few[Slice.HELD_OUT]) <= 20
    for part in Slice:
        assert {file.name for file in few[part]} <= {file.name for file in many[part]}


def test_newest_files_are_held_out_unless_all_came_at_once() -> None:
    dated = split_files([*files(90, 1000), *files(10, 2000)])
    assert {file.name for file in files(10, 2000)} <= {file.name for file in dated[Slice.HELD_OUT]}
    assert len(split_files(files(100, 1000))[Slice.HELD_OUT]) <= 20
    assert len(split_files([*files(40, 1000), *files(60, 2000)])[Slice.HELD_OUT]) <= 20


def test_no_slice_is_empty_and_too_few_files_are_refused() -> None:
    for count in range(10, 15):
        assert all(split_files(files(count)).values())
    with pytest.raises(SettingsError, match="only 9 usable"):
        split_files(files(9))
