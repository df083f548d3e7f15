from __future__ import annotations

import os
from pathlib import Path

import pytest

from notebook_client import code_cell, write_notebook
from starcoder_ls.context.ignore_rules import IgnoreRules
from starcoder_ls.context.source_files import (
    MAX_FILE_BYTES,
    language_family,
    language_group,
    read_source,
    read_source_of_family,
    walk_source_files,
)


def walk(root: Path) -> list[str]:
    return [path.relative_to(root).as_posix() for path in walk_source_files(root, IgnoreRules([root]))]


def test_walk_skips_ignored_hidden_and_installed_files(tmp_path: Path) -> None:
    for name in (
        "z.py",
        "a/b.ts",
        "a/deep/c.go",
        "node_modules/d.js",
        ".venv/e.py",
        ".aws/f.py",
        "out/g.py",
        "h.csv",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x\n")
    (tmp_path / ".gitignore").write_text("out/\n")
    assert walk(tmp_path) == ["z.py", "a/b.ts", "a/deep/c.go"]


def test_walk_does_not_follow_links(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b.py").write_text("x\n")
    (tmp_path / "a" / "loop").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "link.py").symlink_to(tmp_path / "a" / "b.py")
    assert walk(tmp_path) == ["a/b.py"]


def test_walk_skips_missing_and_unreadable_folders(tmp_path: Path) -> None:
    assert walk(tmp_path / "nowhere") == []
    (tmp_path / "closed").mkdir()
    (tmp_path / "a.py").write_text("x\n")
    (tmp_path / "closed").chmod(0)
    try:
        assert walk(tmp_path) == ["a.py"]
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
        (b"x = 1\n" * (MAX_FILE_BYTES // 6 + 1), None),
        (b"", ""),
    ],
)
def test_only_source_code_is_read(tmp_path: Path, raw: bytes, expected: str | None) -> None:
    (tmp_path / "a.py").write_bytes(raw)
    assert read_source(tmp_path / "a.py") == expected


def test_pipes_folders_and_missing_files_are_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.py")
    assert read_source(tmp_path / "pipe.py") is None
    assert read_source(tmp_path) is None
    assert read_source(tmp_path / "gone.py") is None
    assert read_source(Path("nul\0.py")) is None


def test_languages_that_share_code_are_one_family() -> None:
    assert language_family("a.ts") == language_family("b.JSX") != language_family("c.py")
    assert language_family("a.h") == language_family("b.cpp")
    assert language_family("data.csv") == ""


def test_languages_without_a_family_are_groups_of_their_own() -> None:
    assert language_group("a.ts") == language_group("b.js") == language_family("a.ts")
    assert language_group("a.md") == language_group("", "markdown") != language_group("a.yaml")
    assert language_group("data.csv") == language_group("") == language_group("server.log") == ""


def test_notebook_is_read_as_a_script_of_its_language(tmp_path: Path) -> None:
    image = {"output_type": "display_data", "data": {"image/png": "A" * 3000}}
    python = write_notebook(tmp_path / "a.ipynb", code_cell("%time\nx = 1", image))
    r = write_notebook(tmp_path / "b.ipynb", code_cell("x <- 1"), language="R")
    large = write_notebook(tmp_path / "c.ipynb", code_cell("x = 1", *[image] * 400))
    broken = tmp_path / "d.ipynb"
    broken.write_text("{")
    assert read_source_of_family(python, "python") == read_source_of_family(python, None) == "# %time\nx = 1\n\n"
    assert read_source_of_family(r, "python") is None
    for path in (large, broken, tmp_path / "missing.ipynb"):
        assert read_source_of_family(path, None) is None
    rules = IgnoreRules([tmp_path])
    assert list(walk_source_files(tmp_path, rules)) == [], "training and evaluation read no notebooks"
    assert python in list(walk_source_files(tmp_path, rules, with_notebooks=True))
