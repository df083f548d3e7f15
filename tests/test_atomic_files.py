from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from starcoder_ls.atomic_files import write_atomically

needs_modes = pytest.mark.skipif(sys.platform == "win32", reason="no such permissions")


def mode_of(path: Path) -> int:
    return path.stat().st_mode & 0o7777


@needs_modes
def test_new_file_has_the_given_mode_or_that_of_new_files(tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    for name, mode, expected in (("a", None, mode_of(tmp_path / "plain")), ("b", 0o600, 0o600), ("c", 0o640, 0o640)):
        write_atomically(tmp_path / name, b"x\r\n", mode)
        assert (tmp_path / name).read_bytes() == b"x\r\n"
        assert mode_of(tmp_path / name) == expected


@needs_modes
def test_replaced_file_keeps_its_mode_unless_one_is_given(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("old")
    file.chmod(0o750)
    write_atomically(file, b"new", is_synced=True)
    assert (file.read_text(), mode_of(file)) == ("new", 0o750)
    write_atomically(file, b"newer", 0o600)
    assert (file.read_text(), mode_of(file)) == ("newer", 0o600)


@needs_modes
def test_link_stays_a_link(tmp_path: Path) -> None:
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    (folder / "file").write_text("old")
    (tmp_path / "link").symlink_to(folder / "file")
    write_atomically(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink()
    assert (folder / "file").read_text() == "new"


def test_open_file_keeps_the_old_contents(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("old")
    if sys.platform != "win32":  # which does not replace open files
        with file.open() as reader:
            write_atomically(file, b"new")
            assert reader.read() == "old"


def test_failure_before_the_replacement_changes_nothing(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("old")

    def fail() -> None:
        raise ValueError("changed meanwhile")

    with pytest.raises(ValueError, match="meanwhile"):
        write_atomically(file, b"new", before_replacing=fail)
    with pytest.raises(OSError, match="missing"):
        write_atomically(tmp_path / "missing" / "file", b"new")
    assert file.read_text() == "old"
    assert os.listdir(tmp_path) == ["file"]
