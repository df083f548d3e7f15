from __future__ import annotations

import os
from pathlib import Path

import pytest

from starcoder_ls.context.ignore_rules import IgnoreRules
from starcoder_ls.context.source_files import MOST_BYTES, family_of, text_of, walked


def names(root: Path) -> list[str]:
    return [path.relative_to(root).as_posix() for path in walked(root, IgnoreRules([root]))]


def test_source_files_come_shallow_first_without_what_is_ignored_hidden_or_installed(tmp_path: Path) -> None:
    for name in (
        "z.py",
        "a/b.ts",
        "a/deep/c.go",
        "node_modules/d.js",
        ".venv/e.py",
        "secrets/f.py",
        "out/g.py",
        "h.csv",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x\n")
    (tmp_path / ".gitignore").write_text("out/\n")
    assert names(tmp_path) == ["z.py", "a/b.ts", "a/deep/c.go"]


def test_links_are_not_followed_so_that_no_loop_is(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b.py").write_text("x\n")
    (tmp_path / "a" / "loop").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "link.py").symlink_to(tmp_path / "a" / "b.py")
    assert names(tmp_path) == ["a/b.py"]


def test_a_folder_that_is_closed_to_us_or_gone_is_passed_over(tmp_path: Path) -> None:
    assert names(tmp_path / "nowhere") == []
    (tmp_path / "closed").mkdir()
    (tmp_path / "a.py").write_text("x\n")
    (tmp_path / "closed").chmod(0)
    try:
        assert names(tmp_path) == ["a.py"]
    finally:
        (tmp_path / "closed").chmod(0o700)


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"a\r\nb\rc\n", "a\nb\nc\n"),
        (b"\xef\xbb\xbfx = 1\n", "x = 1\n"),
        (b"# caf\xe9\n" + b"x = 1\n" * 40, "# caf\ufffd\n" + "x = 1\n" * 40),
        (b"\x7fELF\0\0\0", None),
        (bytes(range(128, 256)) * 8, None),
        (b"x" * 5000, None),
        (b"x = 1\n" * (MOST_BYTES // 6 + 1), None),
        (b"", ""),
    ],
)
def test_only_what_reads_as_source_code_has_a_text(tmp_path: Path, raw: bytes, expected: str | None) -> None:
    (tmp_path / "a.py").write_bytes(raw)
    assert text_of(tmp_path / "a.py") == expected


def test_pipes_folders_and_what_is_gone_have_none(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.py")
    assert text_of(tmp_path / "pipe.py") is None
    assert text_of(tmp_path) is None
    assert text_of(tmp_path / "gone.py") is None
    assert text_of(Path("nul\0.py")) is None


def test_languages_that_share_code_are_one_group() -> None:
    assert family_of("a.ts") == family_of("b.JSX") != family_of("c.py")
    assert family_of("a.h") == family_of("b.cpp")
    assert family_of("data.csv") == ""
