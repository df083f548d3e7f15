import stat
from pathlib import Path

import pytest

from starcoder_ls.feedback_store.path_hash import hash_path, key_file, read_key, read_or_create_key


def test_key_is_created_once_and_readable_only_by_the_user(tmp_path: Path) -> None:
    path = key_file(tmp_path / "feedback.sqlite3")
    assert read_key(path) is None
    key = read_or_create_key(path)
    assert (read_or_create_key(path), read_key(path), len(key)) == (key, key, 32)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [file.name for file in tmp_path.iterdir()] == ["feedback.key"]


def test_damaged_key_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "feedback.key"
    path.write_bytes(b"short")
    assert read_key(path) is None
    assert len(read_or_create_key(path)) == 32


def test_hash_depends_on_path_and_key_and_not_on_the_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    absolute = hash_path(str(tmp_path / "a.py"), b"k" * 32)
    assert hash_path("a.py", b"k" * 32) == absolute
    assert len({absolute, hash_path("a.py", b"l" * 32), hash_path("b.py", b"k" * 32)}) == 3
    assert "a.py" not in absolute
