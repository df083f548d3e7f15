from __future__ import annotations

import sys
from pathlib import Path

import pytest

from starcoder_ls.errors import SettingsError
from starcoder_ls.private_files import append_line, is_private, read_or_create_token, read_private_text, read_token

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="modes of files")


@pytest.mark.parametrize(("mode", "expected"), [(0o600, True), (0o400, True), (0o640, False), (0o604, False)])
def test_file_is_private_if_its_mode_says_so(tmp_path: Path, mode: int, expected: bool) -> None:
    (tmp_path / "secret").touch()
    (tmp_path / "secret").chmod(mode)
    assert is_private((tmp_path / "secret").stat()) is expected


def test_lines_are_appended_to_a_private_file(tmp_path: Path) -> None:
    for line in ("one", "two"):
        append_line(tmp_path / "secret", line)
    assert is_private((tmp_path / "secret").stat())
    assert read_private_text(tmp_path / "secret") == "one\ntwo\n"


def test_unusable_files_are_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be read: No such file"):
        read_private_text(tmp_path / "missing")
    (tmp_path / "secret").write_bytes(b"\xff")
    (tmp_path / "secret").chmod(0o600)
    with pytest.raises(SettingsError, match="it is not text"):
        read_private_text(tmp_path / "secret")
    with pytest.raises(SettingsError, match="cannot be written"):
        append_line(tmp_path / "missing" / "secret", "line")


def test_token_stays_the_same_and_is_private(tmp_path: Path) -> None:
    file = tmp_path / "state" / "http.token"
    token = read_or_create_token(file, "the file of the API key")
    assert len(token) == 64
    assert read_or_create_token(file, "the file of the API key") == token
    assert is_private(file.stat())
    file.chmod(0o644)
    with pytest.raises(SettingsError, match=f"Others can use the file of the API key, {file},"):
        read_or_create_token(file, "the file of the API key")


@pytest.mark.parametrize("text", ["", " \n"])
def test_file_without_a_token_is_refused(tmp_path: Path, text: str) -> None:
    """Requests without a token would be accepted otherwise."""
    (tmp_path / "token").touch(mode=0o600)
    (tmp_path / "token").write_text(text)
    for read in (read_token, read_or_create_token):
        with pytest.raises(SettingsError, match="has no token"):
            read(tmp_path / "token", "`token_file`")


def test_token_in_a_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SettingsError, match="cannot be written: "):
        read_or_create_token(tmp_path / "file" / "state" / "token", "`secret_file`")
