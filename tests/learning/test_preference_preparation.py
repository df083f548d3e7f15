from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import preference_user
from starcoder_ls.engine.adapters.fingerprint import compute_fingerprint
from starcoder_ls.engine.loading.progress import ignore_progress
from starcoder_ls.errors import SettingsError
from starcoder_ls.learning.finetuning.methods import build_trainable
from starcoder_ls.learning.finetuning.trainable import BaseIdentity
from starcoder_ls.learning.finetuning.versions import AdapterVersions, utc_now, write_json
from starcoder_ls.learning.preference_preparation import Options, Plan, prepare
from starcoder_ls.settings import Settings
from training_fixtures import code, load_base
from training_records import TRAINING


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's code; the program's state, with feedback on its files, is beside it."""
    monkeypatch.setenv("STARCODER_LS_STATE", str(tmp_path / "state"))
    (tmp_path / "state").mkdir()
    written = tmp_path / "code"
    written.mkdir()
    for number in range(12):
        (written / f"module_{number}.py").write_text(code(f"topic{number}"))
    preference_user.record_feedback(written, count=60)
    return written


def plan(base: Path, folder: Path, **options: Any) -> Plan:
    settings = Settings.model_validate({"model": {"name": str(base)}})
    arguments: dict[str, Any] = {"paths": [folder], "device": "cpu", **options}
    return prepare(Options(**arguments), settings, AdapterVersions("own"), ignore_progress)


def test_gate_measures_in_files_that_are_not_trained_on(starcoder: Path, folder: Path) -> None:
    planned = plan(starcoder, folder)
    names = {Path(name).name for name in planned.held_out_files}
    assert {"module_10.py", "module_11.py"} < names  # without feedback
    assert len(names) == 3  # one of the ten with feedback is held out
    assert len(planned.data.training_groups) == 9
    assert planned.config.learning_rate > 1e-5
    assert planned.memory_bytes < 2e9


def test_gate_has_no_files_without_folders_and_a_version(starcoder: Path, folder: Path) -> None:
    assert plan(starcoder, folder, paths=()).held_out_files == []


def test_prompt_and_completion_fit_the_length(starcoder: Path, folder: Path) -> None:
    data = plan(starcoder, folder, length=64).data
    assert max(len(example.prompt) for example in data.training) < 48


def test_start_is_the_version_that_serves_unless_it_is_a_checkpoint(starcoder: Path, folder: Path) -> None:
    versions = AdapterVersions("own")
    with versions.new_version(utc_now()) as version:
        write_json(version / "training.json", TRAINING | {"is_checkpoint": True})
    assert plan(starcoder, folder).start is None  # it does not serve
    versions.promote(versions.find(), utc_now())
    with pytest.raises(SettingsError, match="under another name"):
        plan(starcoder, folder)
    assert plan(starcoder, folder, start="none").start is None


def serve_adapter(base: Path, is_merged: bool, **training: Any) -> AdapterVersions:
    """The versions of an adapter of ``base``, of which one serves."""
    model, checkpoint, _ = load_base(base)
    versions = AdapterVersions("own")
    with versions.new_version(utc_now()) as version:
        identity = BaseIdentity("base", compute_fingerprint(checkpoint))
        build_trainable("lora", model, checkpoint, 2, torch.float32).save(version, identity)
        write_json(version / "training.json", TRAINING | {"base": str(base)} | training)
    versions.promote(versions.find(), utc_now(), is_merged)
    return versions


def test_gate_does_not_measure_in_files_that_the_start_learned(starcoder: Path, folder: Path) -> None:
    learned = [str(folder / f"module_{number}.py") for number in (10, 11)]
    serve_adapter(starcoder, is_merged=False, training_files=learned[:1], replay_files=learned[1:])
    planned = plan(starcoder, folder)
    assert planned.start is not None
    assert len(planned.held_out_files) == 1
    assert set(learned).isdisjoint(planned.held_out_files)


def test_version_that_serves_merged_is_continued_on_its_base(starcoder: Path, folder: Path) -> None:
    versions = serve_adapter(starcoder, is_merged=True)
    planned = plan(versions.merged_link, folder)
    assert planned.base.name == str(starcoder)
    assert planned.start is not None
    assert planned.start.files.folder == versions.find().folder.resolve()


def test_start_on_quantized_weights_is_refused(starcoder: Path, folder: Path) -> None:
    with pytest.raises(SettingsError, match="adapters merge"):
        plan(starcoder, folder, start=str(folder), quantization="nf4")
