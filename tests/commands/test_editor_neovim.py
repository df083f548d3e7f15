from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

import neovim
from starcoder_ls.commands import editor_neovim
from starcoder_ls.commands.support import editor_files
from starcoder_ls.errors import SettingsError


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file that Neovim loads from a user's configuration folder."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.delenv("NVIM_APPNAME", raising=False)
    return tmp_path / "nvim" / "plugin" / "starcoder_ls.lua"


def test_printed_configuration_names_plug_in_and_server(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert editor_neovim.run(is_written=False) == 0

    text = capsys.readouterr().out
    assert str(editor_files.neovim_plugin()) in text
    assert ", ".join(f'"{word}"' for word in editor_files.server_command()) in text
    assert not config.exists()


def test_written_configuration_can_be_written_again(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert editor_neovim.run(is_written=True) == 0
    assert editor_neovim.run(is_written=True) == 0

    assert f"Written: {config}" in capsys.readouterr().out
    assert config.read_text(encoding="utf-8").count("setup(") == 1


def test_file_of_the_user_is_not_replaced(config: Path) -> None:
    config.parent.mkdir(parents=True)
    config.write_text("-- mine\n", encoding="utf-8")

    with pytest.raises(SettingsError, match=r"was not written by this command"):
        editor_neovim.run(is_written=True)

    assert config.read_text(encoding="utf-8") == "-- mine\n"


def test_missing_plug_in_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(editor_files, "neovim_plugin", lambda: None)

    with pytest.raises(SettingsError, match=r"no Neovim plug-in"):
        editor_neovim.run(is_written=False)


def test_paths_are_lua_literals() -> None:
    text = editor_neovim.configuration(Path('/a "b"'), [r"c:\d", "serve"])

    assert r'append("/a \"b\"")' in text
    assert r'cmd = { "c:\\d", "serve" }' in text


@pytest.mark.usefixtures("config")
def test_neovim_loads_the_written_configuration(tmp_path: Path) -> None:
    editor = neovim.find_neovim()
    editor_neovim.run(is_written=True)
    check = "print(vim.fn.exists(':Starcoder'), vim.lsp.is_enabled('starcoder_ls'), vim.lsp.config.starcoder_ls.cmd[1])"
    environment = {**os.environ, "XDG_DATA_HOME": str(tmp_path), "XDG_STATE_HOME": str(tmp_path)}

    command = [editor, "--headless", f"+lua {check}", "+qa!"]
    result = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120)

    assert result.stderr.split() == ["2", "true", editor_files.server_command()[0]]
