"""The commands of docs/learning.md, one after the other, on a small repository and a small base with random weights.

The gate refuses here before it fills holes, since hundreds of them take a minute of processor time even so:
``test_gate_holes`` and ``test_gate`` have that part.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from starcoder_ls.cli.application import application
from starcoder_ls.errors import SettingsError
from training_fixtures import code, write_repository


def test_walk_from_training_to_rollback(starcoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "settings.toml"
    file.write_text(f'[model]\nname = "{starcoder.as_posix()}"\ndevice = "cpu"\ndtype = "float32"\n')
    monkeypatch.setenv("STARCODER_LS_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("STARCODER_LS_SETTINGS", str(file))
    shop = write_repository(tmp_path / "shop", {f"f{number}.py": code(f"topic{number}", 5) for number in range(12)})

    def run(*arguments: str) -> tuple[int, str]:
        result = CliRunner().invoke(application, ["train", *arguments])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result.exit_code, " ".join(result.output.split())

    training = (str(shop), "--name", "shop", "--rank", "2", "--epochs", "1", "--device", "cpu")
    code_, output = run("adapter", *training, "--dry-run")
    assert code_ == 0
    assert "left out" not in output
    assert "held out: " in output
    assert not (tmp_path / "state" / "adapters").exists()
    code_, output = run("adapter", *training)
    assert code_ == 1
    assert "shop is refused: it was trained on too little code to measure it" in output
    assert "refused" in run("list")[1]
    with pytest.raises(SettingsError, match="too little code"):
        run("promote", "shop")
    assert "adapters" not in file.read_text()
    code_, output = run("promote", "shop", "--force", "--watch", "14")
    assert code_ == 0
    assert "serves now, also in servers that run" in output
    assert "[adapters.shop]" in file.read_text()
    code_, output = run("list")
    assert "0 outcomes of suggestions since the promotion" in output
    code_, output = run("rollback", "shop")
    assert (code_, output.endswith("no version serves.")) == (0, True)
    assert "adapters" not in file.read_text()
