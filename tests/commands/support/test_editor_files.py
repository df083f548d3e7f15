from __future__ import annotations

import sys
from pathlib import Path

import pytest

from starcoder_ls.commands.support import editor_files

ROOT = Path(__file__).parents[3]


@pytest.fixture
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the editor clients of a package that is installed outside a clone."""
    monkeypatch.setattr(editor_files, "IN_WHEEL", tmp_path / "editor_files")
    monkeypatch.setattr(editor_files, "CLONE", tmp_path / "lib")
    return tmp_path / "editor_files"


def test_clone_has_the_plug_in_and_the_sources_of_the_extension() -> None:
    assert editor_files.neovim_plugin() == ROOT / "editors" / "neovim"
    assert editor_files.can_build_extension()


def test_wheel_has_the_clients_beside_the_package(wheel: Path) -> None:
    assert editor_files.neovim_plugin() is None
    assert editor_files.vscode_extension() is None
    assert not editor_files.can_build_extension()
    (wheel / "neovim" / "lua" / "starcoder").mkdir(parents=True)
    (wheel / "vscode").mkdir()
    (wheel / "vscode" / "starcoder-ls.vsix").touch()

    assert editor_files.neovim_plugin() == wheel / "neovim"
    assert editor_files.vscode_extension() == wheel / "vscode" / "starcoder-ls.vsix"


def test_server_command_is_the_program_beside_the_interpreter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    assert editor_files.server_command() == [str(tmp_path / "python"), "-m", "starcoder_ls", "serve"]

    (tmp_path / "starcoder-ls").touch()

    assert editor_files.server_command() == [str(tmp_path / "starcoder-ls"), "serve"]
