from __future__ import annotations

import os
from pathlib import Path

import pytest

from starcoder_ls.session import explanation_output


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return explanation_output.answers_folder()


def test_each_text_gets_its_own_private_file() -> None:
    files = {explanation_output.write_private_file("a text") for _ in range(3)}
    assert len(files) == 3
    for file in files:
        assert file.read_text(encoding="utf-8") == "a text\n"
        assert file.stat().st_mode & 0o777 == 0o600
        assert file.parent.stat().st_mode & 0o777 == 0o700


def test_folder_that_others_can_read_becomes_private(cache: Path) -> None:
    cache.mkdir(parents=True)
    cache.chmod(0o777)
    explanation_output.write_private_file("x")
    assert cache.stat().st_mode & 0o777 == 0o700


def test_symlink_in_place_of_the_folder_is_rejected(cache: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    cache.parent.mkdir(parents=True)
    cache.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="another user"):
        explanation_output.write_private_file("x")
    assert not os.listdir(tmp_path / "elsewhere")
