from __future__ import annotations

from pathlib import Path

import pytest

from starcoder_ls.commands import train_gate
from starcoder_ls.errors import SettingsError
from starcoder_ls.learning.finetuning.versions import AdapterVersions
from training_records import add_version


def test_verdict_is_stored_and_decides_the_exit_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("STARCODER_LS_STATE", str(tmp_path))
    losses = {"base": {"loss": 2.0, "middle_loss": 2.0}, "adapted": {"loss": 2.0, "middle_loss": 2.5}}
    version = add_version(tmp_path / "adapters", held_out_loss=losses, held_out_files=[__file__])
    assert train_gate.run("own", None, None, None) == 1
    assert "own is refused" in capsys.readouterr().out
    stored = AdapterVersions("own").find().gate
    assert not stored["is_passed"]
    for gate, reason in (({}, "was not measured"), (stored, "is refused")):
        with pytest.raises(SettingsError, match=reason):
            train_gate.require_passed(version, gate)
    train_gate.require_passed(version, {"is_passed": True})


def test_refused_preferences_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("STARCODER_LS_STATE", str(tmp_path))
    losses = {"base": {"loss": 0.69, "middle_loss": 0.69}, "adapted": {"loss": 0.7, "middle_loss": 0.7}}
    add_version(
        tmp_path / "adapters", held_out_loss=losses, objective="preferences", held_out_files=[__file__], start=None
    )
    assert train_gate.run("own", None, None, None) == 1
    assert "its loss of held-out preferences is 0.700" in capsys.readouterr().out
