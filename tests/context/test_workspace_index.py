from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from starcoder_ls.context import workspace_index
from starcoder_ls.context.ignore_rules import IgnoreRules
from starcoder_ls.context.workspace_index import MAX_PENDING_UPDATES, PendingUpdates, WorkspaceIndex
from stepped_engine import ManualClock

Build = Callable[..., WorkspaceIndex]
TIMEOUT_S = 300


@pytest.fixture
def build() -> Iterator[Build]:
    """Build the index of a folder; it is closed after the test."""
    indexes: list[WorkspaceIndex] = []

    def build_index(folder: Path, max_files: int = 1000, clock: ManualClock | None = None) -> WorkspaceIndex:
        index = WorkspaceIndex(IgnoreRules([folder], clock=clock or ManualClock()), max_files)
        indexes.append(index)
        assert index.build_complete.wait(TIMEOUT_S)
        return index

    yield build_index
    for index in indexes:
        index.close()


def find(index: WorkspaceIndex, word: str) -> list[str]:
    return [Path(hit.path).name for hit in index.search([word], 9)[0]]


def update(index: WorkspaceIndex, *paths: Path) -> None:
    index.update(paths)
    assert index.flush(TIMEOUT_S)


def test_files_that_are_not_excluded_are_found_by_their_words(tmp_path: Path, build: Build) -> None:
    (tmp_path / "a.py").write_text("alpha_word = 1")
    (tmp_path / "b.py").write_text("alpha_word = 2")
    (tmp_path / ".env").write_text("alpha_word=3")
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws" / "c.py").write_text("alpha_word = 4")
    (tmp_path / ".gitignore").write_text("b.py\n")
    assert find(build(tmp_path), "alpha_word") == ["a.py"]


def test_changed_new_and_missing_files_are_updated(tmp_path: Path, build: Build) -> None:
    (tmp_path / "sub").mkdir()
    for name in ("a.py", "sub/b.py"):
        (tmp_path / name).write_text("alpha_word = 1")
    index = build(tmp_path)
    (tmp_path / "a.py").write_text("beta_word = 1")
    (tmp_path / "new.py").write_text("beta_word = 2")
    update(index, tmp_path / "a.py", tmp_path / "new.py", tmp_path / "never.py")
    assert find(index, "beta_word") == ["a.py", "new.py"]
    assert find(index, "alpha_word") == ["b.py"]
    (tmp_path / "sub" / "b.py").unlink()
    (tmp_path / "sub").rmdir()
    update(index, tmp_path / "sub")
    assert find(index, "alpha_word") == []


def test_changed_ignore_file_removes_excluded_files(tmp_path: Path, build: Build) -> None:
    clock = ManualClock()
    for name in ("a.py", "new.py"):
        (tmp_path / name).write_text("beta_word = 1")
    index = build(tmp_path, clock=clock)
    (tmp_path / ".starcoderignore").write_text("new.py\n")
    clock.now_s += 1
    update(index, tmp_path / ".starcoderignore")
    assert find(index, "beta_word") == ["a.py"]


def test_files_outside_the_workspace_and_links_are_not_read(tmp_path: Path, build: Build) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "out.py").write_text("alpha_word = 1")
    (tmp_path / "in" / "link.py").symlink_to(tmp_path / "out.py")
    (tmp_path / "in" / "last.py").write_text("beta_word = 1")
    index = build(tmp_path / "in")
    update(index, tmp_path / "out.py", tmp_path / "in" / "link.py", tmp_path / "in" / "last.py")
    assert find(index, "beta_word") == ["last.py"]
    assert find(index, "alpha_word") == []


def test_index_has_at_most_the_allowed_number_of_files(tmp_path: Path, build: Build) -> None:
    for number in range(20):
        (tmp_path / f"{number:02}.py").write_text("alpha_word = 1")
    index = build(tmp_path, max_files=5)
    assert len(index) == 5
    (tmp_path / "00.py").write_text("beta_word = 1")
    update(index, tmp_path / "19.py", tmp_path / "00.py")
    assert find(index, "beta_word") == ["00.py"]
    assert len(index) == 5


def test_full_index_replaces_deleted_and_excluded_files_by_new_ones(tmp_path: Path, build: Build) -> None:
    clock = ManualClock()
    for name in "abc":
        (tmp_path / f"{name}.py").write_text("alpha_word = 1")
    index = build(tmp_path, max_files=3, clock=clock)
    (tmp_path / "a.py").unlink()
    for name in "de":
        (tmp_path / f"{name}.py").write_text("alpha_word = 1")
    (tmp_path / ".gitignore").write_text("b.py\n")
    clock.now_s += 1
    update(index, tmp_path / ".gitignore")
    assert sorted(find(index, "alpha_word")) == ["c.py", "d.py", "e.py"]


@pytest.mark.parametrize("max_files", [2, 3])
def test_log_says_that_files_are_not_indexed_only_if_there_are_more(
    tmp_path: Path, build: Build, caplog: pytest.LogCaptureFixture, max_files: int
) -> None:
    for name in "abc":
        (tmp_path / f"{name}.py").write_text("alpha_word = 1")
    with caplog.at_level(logging.INFO):
        update(build(tmp_path, max_files=max_files), tmp_path / ".gitignore")
    assert any("more files" in message for message in caplog.messages) == (max_files == 2)


def test_changed_files_in_folders_that_are_not_read_stay_out(tmp_path: Path, build: Build) -> None:
    index = build(tmp_path)
    names = ["node_modules/a.py", ".hidden/deep/b.py", "src/__pycache__/c.py", "venv/lib/d.py", "src/e.py"]
    paths = [tmp_path / name for name in names]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("alpha_word = 1")
    update(index, *paths)
    assert find(index, "alpha_word") == ["e.py"]


def test_workspace_folder_in_a_folder_that_is_not_read_is_indexed(tmp_path: Path, build: Build) -> None:
    root = tmp_path / ".config" / "venv"
    root.mkdir(parents=True)
    index = build(root)
    (root / "a.py").write_text("alpha_word = 1")
    update(index, root / "a.py")
    assert find(index, "alpha_word") == ["a.py"]


def test_update_of_an_impossible_name_does_not_end_indexing(tmp_path: Path, build: Build) -> None:
    index = build(tmp_path)
    (tmp_path / "last.py").write_text("alpha_word = 1")
    update(index, tmp_path / f"{'a' * 300}.py", tmp_path / f"{'a' * 300}", tmp_path / "last.py")
    assert find(index, "alpha_word") == ["last.py"]


def test_empty_index_starts_no_thread(tmp_path: Path, build: Build) -> None:
    (tmp_path / "a.py").write_text("alpha_word = 1")
    index = build(tmp_path, max_files=0)
    update(index, tmp_path / "a.py")
    assert len(index) == 0


class BlockingRules(IgnoreRules):
    """Holds up the walk through the files until the test sets ``may_continue``; counts the files."""

    def __init__(self, roots: Sequence[Path]) -> None:
        super().__init__(roots)
        self.may_continue = threading.Event()
        self.walked_files = 0

    def exclusion_reason(self, path: Path, is_folder: bool = False) -> str | None:
        self.may_continue.wait(TIMEOUT_S)
        self.walked_files += not is_folder
        return super().exclusion_reason(path, is_folder)


def test_close_ends_the_build_before_it_is_complete(tmp_path: Path) -> None:
    for number in range(10):
        (tmp_path / f"{number}.py").write_text("word = 1\n")
    rules = BlockingRules([tmp_path])
    index = WorkspaceIndex(rules, 1000)
    index.close()
    rules.may_continue.set()
    assert index.build_complete.wait(TIMEOUT_S)
    assert len(index) < 10
    index.close()


def test_changed_ignore_files_make_the_index_read_all_files_once(tmp_path: Path) -> None:
    for name in ("one", "two", "three", ".pytest_cache"):
        (tmp_path / name).mkdir()
        (tmp_path / name / ".gitignore").write_text("*.log\n")
    (tmp_path / "a.py").write_text("alpha_word = 1")
    rules = BlockingRules([tmp_path])
    index = WorkspaceIndex(rules, 1000)
    index.update([tmp_path / name / ".gitignore" for name in ("one", "two", "three")])
    rules.may_continue.set()
    assert index.flush(TIMEOUT_S)
    assert rules.walked_files == 2, "when the index was built, and once for the ignore files"
    update(index, tmp_path / ".pytest_cache" / ".gitignore")
    assert rules.walked_files == 2
    update(index, tmp_path.parent / ".gitignore")
    assert rules.walked_files == 3, "it may be that of the repository"
    index.close()


def test_pending_updates_name_each_path_once_and_are_bounded(tmp_path: Path) -> None:
    pending, event = PendingUpdates(), threading.Event()
    for name in "aba":
        pending.add(tmp_path / name)
    pending.add_event(event)
    assert pending.take() == ([tmp_path / "a", tmp_path / "b"], [event])
    for number in range(MAX_PENDING_UPDATES + 2):
        pending.add(tmp_path / str(number))
    assert pending.take() == (None, [])
    pending.add(tmp_path / ("x" * 2000))
    assert pending.take() == (None, [])
    pending.add(tmp_path / "c")
    assert pending.take() == ([tmp_path / "c"], [])
    pending.close()
    assert pending.take() == ([], [])


def test_too_many_updates_make_the_index_read_all_files(
    tmp_path: Path, build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.py").write_text("alpha_word = 1")
    index = build(tmp_path)
    monkeypatch.setattr(workspace_index, "MAX_PENDING_UPDATES", 0)
    (tmp_path / "b.py").write_text("beta_word = 1")
    update(index, tmp_path / "never.py")
    assert find(index, "beta_word") == ["b.py"]
