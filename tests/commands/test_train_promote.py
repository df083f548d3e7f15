from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
import safetensors.torch
import torch

from starcoder_ls.commands import stats, train_list, train_promote
from starcoder_ls.engine.adapters.fingerprint import compute_fingerprint
from starcoder_ls.errors import AdapterInvalid, SettingsError
from starcoder_ls.feedback_store.store import FeedbackStore, ShownSuggestion
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


def add_version(
    base: Path, has_passed: bool = True, fingerprint: str = "", is_checkpoint: bool = False, method: str = "lora"
) -> str:
    model, checkpoint, _ = load_base(base)
    trainable = build_trainable(method, model, checkpoint, 2, torch.float32)
    for weight in trainable.named_weights().values():
        torch.nn.init.normal_(weight.data, std=0.1)
    versions = AdapterVersions("own")
    with versions.new_version(utc_now()) as folder:
        trainable.save(folder, BaseIdentity("base", fingerprint or compute_fingerprint(checkpoint)))
        write_json(folder / "training.json", TRAINING | {"base": str(base), "is_checkpoint": is_checkpoint})
        write_json(folder / "gate.json", {"is_passed": has_passed, "sentence": "own is what it is."})
    return versions.find().name


def adapters_of(file: Path) -> dict[str, dict[str, object]]:
    return tomllib.loads(file.read_text()).get("adapters", {})


def model_of(file: Path) -> str:
    return str(tomllib.loads(file.read_text())["model"]["name"])


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


def test_merged_promotion_answers_as_base_and_adapter_and_is_undone(starcoder: Path, settings_file: Path) -> None:
    versions = AdapterVersions("own")
    adapted, merged = add_version(starcoder), add_version(starcoder)
    assert train_promote.run("own", adapted, False, settings_file) == 0
    assert train_promote.run("own", merged, False, settings_file, is_merged=True) == 0
    assert adapters_of(settings_file) == {}
    assert model_of(settings_file) == str(versions.merged_link)
    assert versions.is_merged
    with_adapter, checkpoint, _ = load_base(starcoder)
    weights = build_trainable("lora", with_adapter, checkpoint, 2, torch.float32).named_weights()
    for name, tensor in safetensors.torch.load_file(versions.current_link / "adapter_model.safetensors").items():
        weights[name].data.copy_(tensor)
    ids = torch.arange(20)[None]
    expected, found = (model(ids).logits for model in (with_adapter, load_base(versions.merged_link)[0]))
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)
    assert train_promote.run_rollback("own", settings_file) == 0
    assert model_of(settings_file) == str(starcoder)
    assert adapters_of(settings_file) == {"own": {"path": str(versions.current_link), "tasks": ["completion"]}}
    assert not versions.is_merged
    assert train_promote.run_rollback("own", settings_file) == 0
    assert (model_of(settings_file), adapters_of(settings_file)) == (str(starcoder), {})


def test_what_cannot_be_merged_exactly_is_refused_and_nothing_changes(starcoder: Path, settings_file: Path) -> None:
    add_version(starcoder, method="parallel")
    before = settings_file.read_text()
    with pytest.raises(AdapterInvalid, match="cannot be merged"):
        train_promote.run("own", None, False, settings_file, is_merged=True)
    assert settings_file.read_text() == before
    assert AdapterVersions("own").current() is None


def test_merged_version_is_followed_by_one_of_the_same_base(starcoder: Path, settings_file: Path) -> None:
    versions = AdapterVersions("own")
    add_version(starcoder)
    assert train_promote.run("own", None, False, settings_file, is_merged=True) == 0
    newer = add_version(starcoder)
    assert train_promote.run("own", newer, False, settings_file, is_merged=True) == 0
    assert versions.merged_link.resolve().parent.name == newer
    assert train_promote.run("own", newer, False, settings_file) == 0
    assert model_of(settings_file) == str(starcoder)
    assert [*adapters_of(settings_file)] == ["own"]


def test_list_and_stats_say_what_a_watched_promotion_has_changed(
    starcoder: Path, settings_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    add_version(starcoder)
    assert train_promote.run("own", None, False, settings_file, watch_days=7) == 0
    assert "compared for 7 days" in capsys.readouterr().out
    sentence = "own: 0 outcomes of suggestions since the promotion"
    assert train_list.run(is_json=False) == 0
    assert sentence in " ".join(capsys.readouterr().out.split())
    store = FeedbackStore()
    store.record_shown(ShownSuggestion("1", "python", "tiny", None, "model", 8, 1))
    store.close()
    assert stats.run(is_json=False) == 0
    assert sentence in " ".join(capsys.readouterr().out.split())


def test_list_says_what_there_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("STARCODER_LS_STATE", str(tmp_path))
    assert train_list.run(is_json=False) == 0
    assert "no adapter was trained here yet" in capsys.readouterr().out
    with AdapterVersions("own").new_version(utc_now()) as folder:
        write_json(folder / "training.json", TRAINING)
    train_list.run(is_json=False)
    printed = capsys.readouterr().out
    assert "3.000 → 2.800" in printed
    assert AdapterVersions("own").find().name in printed, "whole, to be copied"
    train_list.run(is_json=True)
    assert '"has_passed": null' in capsys.readouterr().out
