from __future__ import annotations

from pathlib import Path

import pytest

from starcoder_ls.commands.support.settings_file import put, remove
from starcoder_ls.errors import SettingsError


def test_first_table_creates_the_file_and_its_folder(tmp_path: Path) -> None:
    file = tmp_path / "new" / "settings.toml"
    put(file, ("adapters", "a"), {"path": "x"})
    assert file.read_text(encoding="utf-8").strip() == '[adapters.a]\npath = "x"'


def test_table_of_the_same_name_is_replaced(tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    file.write_text('[adapters.b]  # theirs\npath = "b"\n\n[adapters.a]\npath = "x"\nlanguages = ["c"]\n')
    put(file, ("adapters", "a"), {"path": "y"})
    assert file.read_text() == '[adapters.b]  # theirs\npath = "b"\n\n[adapters.a]\npath = "y"\n'
    assert remove(file, ("adapters", "a"))
    assert file.read_text().strip() == '[adapters.b]  # theirs\npath = "b"'
    assert not remove(file, ("adapters", "a"))


def test_link_to_a_settings_file_is_kept(tmp_path: Path) -> None:
    (tmp_path / "real.toml").write_text("# mine\n")
    (tmp_path / "link.toml").symlink_to(tmp_path / "real.toml")
    put(tmp_path / "link.toml", ("adapters", "a"), {"path": "x"})
    assert (tmp_path / "link.toml").is_symlink()
    assert (tmp_path / "real.toml").read_text().startswith("# mine\n")


def test_invalid_file_is_an_error_and_unchanged(tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    file.write_text("[adapters\n")
    with pytest.raises(SettingsError, match="is not valid TOML"):
        put(file, ("adapters", "a"), {"path": "x"})
    assert file.read_text() == "[adapters\n"
    assert [path.name for path in tmp_path.iterdir()] == ["settings.toml"]
