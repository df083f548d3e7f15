from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from starcoder_ls.errors import SettingsError
from starcoder_ls.learning import archive


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    (folder / "inner").mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(random.Random(0).randbytes(40_000))
    (folder / "inner" / "config.json").write_text("{}", encoding="utf-8")
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_archive_is_unpacked_into_the_same_files(folder: Path, tmp_path: Path) -> None:
    archive.pack(folder, tmp_path / "model.tar.xz")
    archive.unpack(tmp_path / "model.tar.xz", tmp_path / "copy")
    assert contents(tmp_path / "copy") == contents(folder)


def test_parts_are_within_the_limit_and_unpacked_into_the_same_files(folder: Path, tmp_path: Path) -> None:
    archive.pack(folder, tmp_path / "model.tar.xz", preset=0)
    parts = archive.split(tmp_path / "model.tar.xz", tmp_path / "parts", 15_000)
    assert len(parts) == 3
    assert all(part.stat().st_size <= 15_000 for part in parts)
    archive.unpack(tmp_path / "parts", tmp_path / "copy")
    assert contents(tmp_path / "copy") == contents(folder)


def test_equal_folders_are_equal_archives(folder: Path, tmp_path: Path) -> None:
    archive.pack(folder, tmp_path / "first")
    (folder / "inner" / "config.json").touch()
    archive.pack(folder, tmp_path / "second")
    assert (tmp_path / "first").read_bytes() == (tmp_path / "second").read_bytes()


def test_missing_or_changed_part_is_refused(folder: Path, tmp_path: Path) -> None:
    archive.pack(folder, tmp_path / "model.tar.xz", preset=0)
    parts = archive.split(tmp_path / "model.tar.xz", tmp_path / "parts", 15_000)
    content = parts[1].read_bytes()
    parts[1].write_bytes(content[:-1] + b"x")
    with pytest.raises(SettingsError, match="not those that were written"):
        archive.unpack(tmp_path / "parts", tmp_path / "copy")
    parts[1].unlink()
    with pytest.raises(SettingsError, match=r"model\.tar\.xz\.001 is missing"):
        archive.unpack(tmp_path / "parts", tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


def test_what_is_no_archive_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"has no parts\.json"):
        archive.unpack(folder, tmp_path / "copy")
    with pytest.raises(SettingsError, match="is damaged or no archive"):
        archive.unpack(folder / "inner" / "config.json", tmp_path / "copy")


def test_part_outside_the_folder_is_not_read(folder: Path, tmp_path: Path) -> None:
    (folder / archive.PARTS_FILE).write_text(
        json.dumps({"file": "x", "parts": ["../secret"], "sha256": ""}), encoding="utf-8"
    )
    (tmp_path / "secret").write_text("", encoding="utf-8")
    with pytest.raises(SettingsError, match="is missing"):
        archive.join(folder)
