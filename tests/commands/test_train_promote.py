from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
import torch

from starcoder_ls.commands import train_list, train_promote
from starcoder_ls.engine.adapters.fingerprint import compute_fingerprint
from starcoder_ls.errors import AdapterInvalid, SettingsError
from starcoder_ls.learning.finetuning.methods import build_trainable
from starcoder_ls.learning.finetuning.trainable import BaseIdentity
from starcoder_ls.learning.finetuning.versions import AdapterVersions, utc_now, write_json
from training_fixtures import load_base
from training_records import TRAINING


@pytest.fixture
def settings_file(starcoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The settings of a user of the small base; the state of the program is beside it."""
    monkeypatch.setenv("STARCODER_LS_STATE", str(tmp_path / "state"))
    file = tmp_path / "settings.toml"
    file.write_text(f'# mine\n[model]\nname = "{starcoder.as_posix()}"\ndevice = "cpu"\ndtype = "float32"\n')
    return file


def add_version(base: Path, has_passed: bool = True, fingerprint: str = "", is_checkpoint: bool = False) -> str:
    model, checkpoint, _ = load_base(base)
    trainable = build_trainable("lora", model, checkpoint, 2, torch.float32)
    versions = AdapterVersions("own")
    with versions.new_version(utc_now()) as folder:
        trainable.save(folder, BaseIdentity("base", fingerprint or compute_fingerprint(checkpoint)))
        write_json(folder / "training.json", TRAINING | {"base": str(base), "is_checkpoint": is_checkpoint})
        write_json(folder / "gate.json", {"is_passed": has_passed, "sentence": "own is what it is."})
    return versions.find().name


def adapters_of(file: Path) -> dict[str, dict[str, object]]:
    return tomllib.loads(file.read_text()).get("adapters", {})


def test_promotion_writes_the_settings_once_and_rollback_goes_back(
    starcoder: Path, settings_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    versions = AdapterVersions("own")
    first = add_version(starcoder)
    assert train_promote.run("own", None, False, settings_file) == 0
    table = {"path": str(versions.current_link), "tasks": ["completion"]}
    assert adapters_of(settings_file) == {"own": table}
    second = add_version(starcoder)
    assert train_promote.run("own", second, False, settings_file) == 0
    assert versions.current_link.resolve().name == second
    assert train_list.run(is_json=False) == 0
    assert "yes" in capsys.readouterr().out
    assert train_promote.run_rollback("own", settings_file) == 0
    assert versions.current_link.resolve().name == first
    assert adapters_of(settings_file) == {"own": table}
    assert train_promote.run_rollback("own", settings_file) == 0
    assert adapters_of(settings_file) == {}
    assert settings_file.read_text().startswith("# mine")
    with pytest.raises(SettingsError, match="No version of own serves"):
        train_promote.run_rollback("own", settings_file)


def test_refused_version_needs_force_and_nothing_changes_without(starcoder: Path, settings_file: Path) -> None:
    before = settings_file.read_text()
    add_version(starcoder, has_passed=False)
    with pytest.raises(SettingsError, match="--force"):
        train_promote.run("own", None, False, settings_file)
    assert settings_file.read_text() == before
    assert AdapterVersions("own").current() is None
    assert train_promote.run("own", None, True, settings_file) == 0


def test_version_of_another_base_is_never_promoted(starcoder: Path, settings_file: Path) -> None:
    add_version(starcoder, fingerprint="0123456789abcdef")
    with pytest.raises(AdapterInvalid, match="fingerprint"):
        train_promote.run("own", None, True, settings_file)
    assert AdapterVersions("own").current() is None


def test_name_of_another_adapter_is_not_taken(starcoder: Path, settings_file: Path) -> None:
    add_version(starcoder)
    settings_file.write_text(settings_file.read_text() + '[adapters.own]\npath = "owner/name"\n')
    with pytest.raises(SettingsError, match="another adapter own"):
        train_promote.run("own", None, False, settings_file)


def test_checkpoint_becomes_the_model_and_rollback_restores_the_base(starcoder: Path, settings_file: Path) -> None:
    add_version(starcoder, is_checkpoint=True)
    assert train_promote.run("own", None, False, settings_file) == 0
    assert tomllib.loads(settings_file.read_text())["model"]["name"] == str(AdapterVersions("own").current_link)
    assert train_promote.run_rollback("own", settings_file) == 0
    assert tomllib.loads(settings_file.read_text())["model"]["name"] == str(starcoder)


def test_list_says_what_there_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("STARCODER_LS_STATE", str(tmp_path))
    assert train_list.run(is_json=False) == 0
    assert "no adapter was trained here yet" in capsys.readouterr().out
    with AdapterVersions("own").new_version(utc_now()) as folder:
        write_json(folder / "training.json", TRAINING)
    train_list.run(is_json=False)
    assert "3.000 → 2.800" in capsys.readouterr().out
    train_list.run(is_json=True)
    assert '"has_passed": null' in capsys.readouterr().out
