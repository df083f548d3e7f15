from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from starcoder_ls.context import ignore_files
from starcoder_ls.context.ignore_files import find_repository
from starcoder_ls.context.ignore_rules import IgnoreRules
from starcoder_ls.gitignore.patterns import IgnorePatterns
from stepped_engine import ManualClock


def write_device(file: Path) -> None:
    file.symlink_to("/dev/zero")


def write_long(file: Path) -> None:
    file.write_bytes(b"a\n" * 1_000_000)


def write_wildcards(file: Path) -> None:
    file.write_text("\n".join(f"n{number}*" for number in range(100_000)))


@pytest.mark.parametrize("name", [".gitignore", ".starcoderignore"])
@pytest.mark.parametrize("write", [os.mkfifo, write_device, write_long, write_wildcards])
def test_ignore_file_that_cannot_be_evaluated_excludes_its_folder(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str, write: Callable[[Path], None]
) -> None:
    (tmp_path / "sub").mkdir()
    write(tmp_path / "sub" / name)
    clock = ManualClock()
    rules = IgnoreRules([tmp_path], clock=clock)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            reason = rules.exclusion_reason(tmp_path / "sub" / "deep" / "a.py")
            assert reason is not None
            assert reason.startswith(f"{name} cannot be evaluated")
            clock.now_s += 2
    assert len(caplog.records) == 1
    assert rules.exclusion_reason(tmp_path / "a.py") is None
    assert IgnoreRules([tmp_path], ["!sub/"]).exclusion_reason(tmp_path / "sub" / "a.py") is None
    (tmp_path / "sub" / name).unlink()
    clock.now_s += 2
    assert rules.exclusion_reason(tmp_path / "sub" / "deep" / "a.py") is None


def test_ignore_files_that_are_too_long_together_exclude_the_folder(tmp_path: Path) -> None:
    folder = tmp_path
    for _ in range(3):
        folder /= "sub"
        folder.mkdir()
        (folder / ".gitignore").write_bytes(b"a\n" * 60_000)
    rules = IgnoreRules([tmp_path])
    assert rules.exclusion_reason(folder.parent / "b.py") is None
    assert rules.exclusion_reason(folder / "b.py") is not None


def test_pattern_with_many_stars_excludes_what_git_excludes(tmp_path: Path) -> None:
    (tmp_path / ".gitignore").write_text("a*a*a*a*a*a*a*a*a*a*a*a*b\n")
    assert IgnoreRules([tmp_path]).exclusion_reason(tmp_path / ("a" * 60)) is None
    assert IgnoreRules([tmp_path]).exclusion_reason(tmp_path / ("a" * 60 + "b")) is not None


def test_first_pattern_after_a_bom_is_obeyed(tmp_path: Path) -> None:
    (tmp_path / ".gitignore").write_bytes("\ufeffa.py\nb.py\n".encode())
    assert IgnoreRules([tmp_path]).exclusion_reason(tmp_path / "a.py") == ".gitignore names it"
    assert IgnoreRules([tmp_path]).exclusion_reason(tmp_path / "b.py") == ".gitignore names it"


def test_repository_that_ignores_the_workspace_folder_excludes_all_of_it(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    (tmp_path / "ws" / "sub").mkdir(parents=True)
    (tmp_path / ".gitignore").write_text("ws/\n")
    assert IgnoreRules([tmp_path / "ws"]).exclusion_reason(tmp_path / "ws" / "sub" / "a.py") is not None


def test_nearer_starcoderignore_overrides_only_for_what_it_names(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / ".gitignore").write_text("*.py\n")
    (tmp_path / "a" / ".gitignore").write_text("!b/\n")
    assert IgnoreRules([tmp_path]).exclusion_reason(tmp_path / "a" / "b" / "x.py") is not None
    (tmp_path / "a" / ".starcoderignore").write_text("!b/\n")
    assert IgnoreRules([tmp_path]).exclusion_reason(tmp_path / "a" / "b" / "x.py") is None


def test_link_to_an_ignore_file_that_is_missing_has_no_rules(tmp_path: Path) -> None:
    (tmp_path / ".gitignore").symlink_to(tmp_path / "missing")
    assert IgnoreRules([tmp_path]).exclusion_reason(tmp_path / "a.py") is None


def test_repository_is_the_nearest_folder_with_git(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    assert find_repository(tmp_path / "a" / "b") == tmp_path
    long = tmp_path / ("x" * 300)
    assert find_repository(long) == tmp_path


def test_parsed_ignore_files_are_bounded_in_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ignore_files, "_MAX_CACHED_BYTES", 100_000)
    files = ignore_files.IgnoreFiles(lambda: 0.0, 1.0)
    for number in range(20):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / ".gitignore").write_text("".join(f"{line}\n" for line in range(100)))
        assert files.exclusion_reason(folder / "7", is_folder=False, root=tmp_path) == ".gitignore names it"
    assert 1 < len(files._patterns) < 10
    kept = [patterns for _, patterns in files._patterns.values() if isinstance(patterns, IgnorePatterns)]
    assert files._patterns_bytes == sum(patterns.memory_bytes for patterns in kept) <= 100_000
    for path in list(files._patterns):
        Path(path).unlink(missing_ok=True)
        files._read_patterns(path)
    assert files._patterns_bytes == 0
