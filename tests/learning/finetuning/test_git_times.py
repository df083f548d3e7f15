from pathlib import Path

from starcoder_ls.learning.finetuning.git_times import CommitTimes, read_git_times
from training_fixtures import commit


def test_first_and_last_commit_of_each_file(tmp_path: Path) -> None:
    (tmp_path / "täglich.py").write_text("a")
    commit(tmp_path, ["täglich.py"], "2026-01-01T00:00:00Z")
    (tmp_path / "b.py").write_text("b")
    (tmp_path / "täglich.py").write_text("a2")
    commit(tmp_path, ["b.py", "täglich.py"], "2026-02-01T00:00:00Z")
    assert read_git_times(tmp_path) == {
        "täglich.py": CommitTimes(1767225600, 1769904000),
        "b.py": CommitTimes(1769904000, 1769904000),
    }


def test_folder_that_is_no_repository_has_no_times(tmp_path: Path) -> None:
    assert read_git_times(tmp_path) == {}
    (tmp_path / ".git").mkdir()
    assert read_git_times(tmp_path) == {}
