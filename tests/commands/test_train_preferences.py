"""From the feedback of a simulated user to an adapter that the engine runs, and back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import preference_user
from starcoder_ls import settings as settings_module
from starcoder_ls.commands import train_preferences, train_promote
from starcoder_ls.engine.adapters.resident_adapters import ResidentAdapters, prepare_adapter
from starcoder_ls.engine.loading.progress import ignore_progress
from starcoder_ls.errors import SettingsError
from starcoder_ls.learning.finetuning.versions import AdapterVersions, utc_now
from starcoder_ls.learning.preference_data import PreferenceData
from starcoder_ls.learning.preference_preparation import Options, prepare
from starcoder_ls.learning.preference_scores import log_probabilities
from starcoder_ls.settings import Adapter
from training_fixtures import load_base

CONFIG = {"learning_rate": 3e-3, "rank": 4, "alpha": 8, "epochs": 1.0, "batch": 8}


@pytest.fixture
def settings_file(starcoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The settings of a user of the small base who allows text; the state of the program is beside it."""
    torch.set_num_threads(1)
    monkeypatch.setenv("STARCODER_LS_STATE", str(tmp_path / "state"))
    (tmp_path / "state").mkdir()
    file = tmp_path / "settings.toml"
    file.write_text(
        f'[feedback]\nkeep = "text"\n[model]\nname = "{starcoder.as_posix()}"\ndevice = "cpu"\ndtype = "float32"\n'
    )
    preference_user.record_feedback(tmp_path / "code", count=60)
    return file


def train(settings_file: Path, is_dry_run: bool = False, has_gate: bool = False, **options: Any) -> int:
    arguments = {"device": "cpu", "config": CONFIG, **options}
    return train_preferences.run("own", arguments, {}, settings_file, is_dry_run, has_gate)


def held_out(settings_file: Path) -> PreferenceData:
    settings = settings_module.load(file=settings_file)
    return prepare(Options(start="none"), settings, AdapterVersions("own"), ignore_progress).data


def margin(settings_file: Path) -> float:
    """By how many nats what was written is more probable in held-out pairs, with the adapters of the settings."""
    settings = settings_module.load(file=settings_file)
    model, checkpoint, _ = load_base(Path(settings.model.name))
    adapters = ResidentAdapters(model, checkpoint)
    for name, adapter in settings.adapters.items():
        adapters.activate(adapters.add(name, prepare_adapter(adapter, True, ignore_progress)))
    values = log_probabilities(model, held_out(settings_file).held_out)
    return sum(chosen - rejected for chosen, rejected in values) / len(values)


def test_taste_is_learned_promoted_and_gone_after_rollback(
    settings_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = margin(settings_file)
    assert train(settings_file) == 0
    versions = AdapterVersions("own")
    record = versions.find().training
    assert record["held_out_loss"]["adapted"]["loss"] < record["held_out_loss"]["base"]["loss"]
    assert record["examples"] == {"training": 54, "held out": 6}
    assert margin(settings_file) == before  # not promoted yet
    train_promote.run("own", None, True, settings_file)
    assert margin(settings_file) > before + 1
    train_promote.run_rollback("own", settings_file)
    assert margin(settings_file) == before
    assert "DPO: 54 pairs to train on, 6 held out" in " ".join(capsys.readouterr().out.split())
    card = (versions.find().folder / "README.md").read_text()
    assert "what became of suggestions" in card
    assert "agreement" in card
    assert "Loss of preferences" in (versions.find().folder / "report.html").read_text()


def test_run_on_top_of_the_version_that_serves_keeps_what_it_does(settings_file: Path) -> None:
    assert train(settings_file, config=CONFIG | {"epochs": 0.2}) == 0
    versions = AdapterVersions("own")
    first = versions.find()
    versions.promote(first, utc_now())
    assert train(settings_file, config=CONFIG | {"epochs": 0.2}) == 0
    second = versions.find()
    assert second.training["start"] == str(first.folder.resolve())
    assert second.training["rank"] == 8  # that of both
    tensors = [
        prepare_adapter(Adapter(path=str(version.folder)), True, ignore_progress).tensors for version in (first, second)
    ]
    name = next(name for name in tensors[0] if ".lora_A." in name)
    torch.testing.assert_close(tensors[1][name][:4], tensors[0][name])


def test_dry_run_says_what_it_takes_and_writes_nothing(settings_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train(settings_file, is_dry_run=True) == 0
    assert "tokens, read 1 times in 7 steps" in " ".join(capsys.readouterr().out.split())
    assert AdapterVersions("own").all_versions() == []


@pytest.mark.parametrize("is_dry_run", [True, False])
def test_data_are_shown_before_a_gate_without_files_is_refused(
    is_dry_run: bool, settings_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SettingsError, match="train preferences PATH --name own`\\), or add `--no-gate`"):
        train(settings_file, is_dry_run, has_gate=True)
    assert "DPO: 54 pairs to train on, 6 held out" in " ".join(capsys.readouterr().out.split())
    assert AdapterVersions("own").all_versions() == []


@pytest.mark.parametrize("keep", ["outcomes", "nothing"])
def test_run_without_consent_to_text_is_refused(keep: str, settings_file: Path) -> None:
    settings_file.write_text(settings_file.read_text().replace('"text"', f'"{keep}"'))
    with pytest.raises(SettingsError, match=f'`feedback.keep` is "{keep}"'):
        train(settings_file)
