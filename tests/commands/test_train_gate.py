"""Servers are real processes with a scripted engine."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from harness import FAKE_SERVER_COMMAND
from repositories import repository
from starcoder_ls import settings
from starcoder_ls.commands import train_gate
from starcoder_ls.commands.train_gate import GateHoles
from starcoder_ls.errors import ModelError, SettingsError
from starcoder_ls.evaluation.gate import Code, Side
from starcoder_ls.learning.finetuning.versions import AdapterVersions, Version, write_json
from training_records import TRAINING


def add_version(root: Path, **changes: Any) -> Version:
    versions = AdapterVersions("own", root)
    with versions.new_version(datetime(2026, 11, 28, tzinfo=UTC)) as folder:
        write_json(folder / "training.json", TRAINING | changes)
    return versions.find()


def holes_of(version: Version, folder: Path, adapters: list[str]) -> GateHoles:
    folder.mkdir()
    user_settings = settings.Settings.model_validate(
        {"model": {"threads": 3}, "adapters": {"other": {"path": "/other", "tasks": ["completion"]}}}
    )
    engine = {"scripts": [["self", ".name", "\n"]], "adapters": adapters}
    return GateHoles(version, user_settings, folder, program=(*FAKE_SERVER_COMMAND, json.dumps(engine)))


def test_sides_fill_the_same_holes_in_the_held_out_files_only(tmp_path: Path) -> None:
    (tmp_path / "code").mkdir()
    code = repository(tmp_path / "code")
    version = add_version(tmp_path / "state", held_out_files=[str(code / "shop/shop.py"), str(code / "gone.py")])
    holes = holes_of(version, tmp_path / "run", [train_gate.settings_name(version.folder)])
    base, candidate = (holes(side, Code.HELD_OUT, 4, seed=1) for side in Side)
    assert [hole.id for hole in base.holes] == [hole.id for hole in candidate.holes]
    assert {hole.path for hole in base.holes} == {"shop/shop.py"}
    (foreign,) = holes.paths(Code.FOREIGN)
    assert (foreign / "console.py").is_file()


def test_candidate_that_is_not_loaded_is_never_measured_as_the_base(tmp_path: Path) -> None:
    (tmp_path / "code").mkdir()
    code = repository(tmp_path / "code")
    version = add_version(tmp_path / "state", held_out_files=[str(code / "shop/shop.py")])
    holes = holes_of(version, tmp_path / "run", [])
    with pytest.raises(ModelError, match="is not loaded"):
        holes(Side.CANDIDATE, Code.HELD_OUT, 4, seed=1)


def test_only_the_candidate_differs_between_the_servers(tmp_path: Path) -> None:
    version = add_version(tmp_path / "state")
    holes = holes_of(version, tmp_path / "run", [])
    base, candidate = holes.launch(Side.BASE), holes.launch(Side.CANDIDATE)
    assert candidate.arguments == [*base.arguments, "--adapter", str(version.folder)]
    loaded = settings.load(base.overlay, file=base.settings_file)
    assert (loaded.model.name, loaded.model.threads) == ("bundled", 3)
    assert "other" not in loaded.adapters
    whole = holes_of(add_version(tmp_path / "full", is_checkpoint=True), tmp_path / "other", []).launch(Side.CANDIDATE)
    assert "--adapter" not in whole.arguments
    assert whole.arguments[1].startswith(str(tmp_path / "full"))


def test_version_without_held_out_files_cannot_be_measured(tmp_path: Path) -> None:
    holes = holes_of(add_version(tmp_path / "state", held_out_files=["/gone.py"]), tmp_path / "run", [])
    with pytest.raises(SettingsError, match="Train again"):
        holes(Side.BASE, Code.HELD_OUT, 4, seed=0)


def test_verdict_is_stored_and_decides_the_exit_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("STARCODER_LS_STATE", str(tmp_path))
    losses = {"base": {"loss": 2.0, "middle_loss": 2.0}, "adapted": {"loss": 2.0, "middle_loss": 2.5}}
    version = add_version(tmp_path / "adapters", held_out_loss=losses)
    assert train_gate.run("own", None, None, None) == 1
    assert "own is refused" in capsys.readouterr().out
    stored = AdapterVersions("own").find().gate
    assert not stored["is_passed"]
    for gate, reason in (({}, "was not measured"), (stored, "is refused")):
        with pytest.raises(SettingsError, match=reason):
            train_gate.require_passed(version, gate)
    train_gate.require_passed(version, {"is_passed": True})
