from __future__ import annotations

from pathlib import Path

import pytest

from starcoder_ls.commands import editor_vscode
from starcoder_ls.commands.support import editor_files
from starcoder_ls.errors import SettingsError


def test_built_extension_is_named_in_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(editor_files, "vscode_extension", lambda: tmp_path / "starcoder-ls.vsix")

    assert editor_vscode.run() == 0

    text = capsys.readouterr().out
    assert f'code --install-extension "{tmp_path / "starcoder-ls.vsix"}"' in text
    assert "starcoder.server.command" in text


def test_clone_without_built_extension_says_how_to_build_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(editor_files, "vscode_extension", lambda: None)

    assert editor_vscode.run() == 0

    assert f"make -C {editor_files.CLONE} vsix" in capsys.readouterr().out


def test_wheel_without_extension_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(editor_files, "vscode_extension", lambda: None)
    monkeypatch.setattr(editor_files, "can_build_extension", lambda: False)

    with pytest.raises(SettingsError, match=r"`make vsix` builds one"):
        editor_vscode.run()
