from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from starcoder_ls.context.ignore_rules import IgnoreRules
from starcoder_ls.context.workspace_index import WorkspaceIndex

MADE: list[WorkspaceIndex] = []


@pytest.fixture(autouse=True)
def _closing() -> Iterator[None]:
    yield
    while MADE:
        MADE.pop().close()


def built(folder: Path, most_files: int = 1000) -> WorkspaceIndex:
    workspace = WorkspaceIndex(IgnoreRules([folder]), most_files)
    MADE.append(workspace)
    assert workspace.is_complete.wait(5)
    return workspace


def paths(workspace: WorkspaceIndex, word: str) -> list[str]:
    return [Path(one.path).name for one in workspace.search([word], 9)[0]]


def until(workspace: WorkspaceIndex, word: str, expected: list[str]) -> None:
    limit = time.monotonic() + 5
    while paths(workspace, word) != expected:
        assert time.monotonic() < limit, paths(workspace, word)
        time.sleep(0.01)


def test_files_that_rules_leave_are_found_by_their_words(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("alpha_word = 1")
    (tmp_path / "b.py").write_text("alpha_word = 2")
    (tmp_path / ".env").write_text("alpha_word=3")
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "c.py").write_text("alpha_word = 4")
    (tmp_path / ".gitignore").write_text("b.py\n")
    assert paths(built(tmp_path), "alpha_word") == ["a.py"]


def test_changes_are_followed_and_so_are_rules(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    for name in ("a.py", "sub/b.py"):
        (tmp_path / name).write_text("alpha_word = 1")
    workspace = built(tmp_path)
    (tmp_path / "a.py").write_text("beta_word = 1")
    (tmp_path / "new.py").write_text("beta_word = 2")
    workspace.changed([tmp_path / "a.py", tmp_path / "new.py", tmp_path / "never.py"])
    until(workspace, "beta_word", ["a.py", "new.py"])
    assert paths(workspace, "alpha_word") == ["b.py"]
    (tmp_path / "sub" / "b.py").unlink()
    (tmp_path / "sub").rmdir()
    workspace.changed([tmp_path / "sub"])
    until(workspace, "alpha_word", [])
    workspace.rules._verdicts.clear()
    (tmp_path / ".starcoderignore").write_text("new.py\n")
    time.sleep(1.05)  # rules are looked at once a second
    workspace.changed([tmp_path / ".starcoderignore"])
    until(workspace, "beta_word", ["a.py"])


def test_nothing_outside_of_the_folders_and_no_link_is_read_when_told_so(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "out.py").write_text("alpha_word = 1")
    (tmp_path / "in" / "link.py").symlink_to(tmp_path / "out.py")
    (tmp_path / "in" / "last.py").write_text("beta_word = 1")
    workspace = built(tmp_path / "in")
    workspace.changed([tmp_path / "out.py", tmp_path / "in" / "link.py", tmp_path / "in" / "last.py"])
    until(workspace, "beta_word", ["last.py"])
    assert paths(workspace, "alpha_word") == []


def test_no_more_files_than_allowed_are_kept_and_none_start_nothing(tmp_path: Path) -> None:
    for number in range(20):
        (tmp_path / f"{number:02}.py").write_text("alpha_word = 1")
    workspace = built(tmp_path, most_files=5)
    assert len(workspace) == 5
    workspace.changed([tmp_path / "19.py"])
    (tmp_path / "00.py").write_text("beta_word = 1")
    workspace.changed([tmp_path / "00.py"])
    until(workspace, "beta_word", ["00.py"])
    assert len(workspace) == 5
    assert len(built(tmp_path, most_files=0)) == 0


def test_the_thread_ends_in_the_middle_of_its_work(tmp_path: Path) -> None:
    for number in range(300):
        (tmp_path / f"{number}.py").write_text("word = 1\n" * 300)
    workspace = WorkspaceIndex(IgnoreRules([tmp_path]), 1000)
    workspace.is_typed()
    workspace.close()
    assert workspace.is_complete.wait(5)
    assert len(workspace) < 300
    workspace.close()
