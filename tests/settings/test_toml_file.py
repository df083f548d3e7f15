from __future__ import annotations

from pathlib import Path

import pytest

from starcoder_ls.errors import SettingsError
from starcoder_ls.settings.toml_file import read_toml


def test_file_is_read_with_and_without_a_bom(tmp_path: Path) -> None:
    for bom in (b"", b"\xef\xbb\xbf"):
        (tmp_path / "a.toml").write_bytes(bom + b"[log]\nlevel = 'info'\n")
        assert read_toml(tmp_path / "a.toml") == {"log": {"level": "info"}}


@pytest.mark.parametrize("content", [b"[", b"a = " + b"[" * 100_000, b"a = " + b"1" * 5000])
def test_invalid_file_is_named_with_one_sentence(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.toml").write_bytes(content)
    with pytest.raises(SettingsError, match=r"a\.toml is not valid TOML: .*Correct it or remove it\."):
        read_toml(tmp_path / "a.toml")


@pytest.mark.parametrize("content", [b"\xff", "\ufeffa = 1".encode("utf-16-le"), b"a = '\xe9'"])
def test_file_in_another_encoding_is_named_with_what_to_do(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.toml").write_bytes(content)
    with pytest.raises(SettingsError, match=r"a\.toml is not UTF-8 text\. Save it as UTF-8, or remove it\."):
        read_toml(tmp_path / "a.toml")


def test_folder_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be read: Is a directory"):
        read_toml(tmp_path)
