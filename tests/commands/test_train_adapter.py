from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from starcoder_ls import settings
from starcoder_ls.commands import train_adapter
from starcoder_ls.commands.train_adapter import Request
from starcoder_ls.engine.adapters.files import check_adapter_folder
from starcoder_ls.engine.loading.progress import ignore_progress
from starcoder_ls.errors import SettingsError
from starcoder_ls.learning.finetuning import training_base
from starcoder_ls.learning.finetuning.preparation import Options, prepare
from starcoder_ls.learning.finetuning.versions import AdapterVersions
from training_fixtures import SECRET, code, write_repository


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository; state of the program goes beside it."""
    monkeypatch.setenv("STARCODER_LS_STATE", str(tmp_path / "state"))
    files = {f"f{number}.py": code(f"topic{number}", 5) for number in range(12)}
    return write_repository(tmp_path / "code", {**files, "key.py": code("key") + f'TOKEN = "{SECRET}"\n'})


def run(base: Path, repository: Path, **options: Any) -> int:
    others = {key: options.pop(key) for key in ("minutes", "is_dry_run", "is_restarted") if key in options}
    arguments = {"paths": [repository], "device": "cpu", "rank": 4, "epochs": 1.0, **options}
    return train_adapter.run(Request("own", arguments, **others), {"model": {"name": str(base)}}, None)


def test_run_writes_an_adapter_with_card_report_and_record(
    starcoder: Path, repository: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    general = write_repository(tmp_path / "general", {"general.py": code("general", 5)})
    assert run(starcoder, repository, replay=[general]) == 0
    versions = AdapterVersions("own")
    version = versions.find()
    files = check_adapter_folder(version.folder)
    assert files.base_fingerprint == version.training["fingerprint"]
    assert "held-out loss of middles" in (version.folder / "report.html").read_text(encoding="utf-8")
    card = (version.folder / "README.md").read_text(encoding="utf-8")
    assert "base_model" in card
    assert "| general code | 1 files, 25% of the examples |" in card
    assert [Path(name).name for name in version.training["replay_files"]] == ["general.py"]
    losses = version.training["held_out_loss"]
    assert losses["adapted"]["loss"] < losses["base"]["loss"]
    held_out = {Path(name).name for name in version.training["held_out_files"]}
    assert held_out
    assert held_out.isdisjoint(Path(name).name for name in version.training["training_files"])
    assert not versions.run_folder.exists()
    assert SECRET not in "".join(path.read_text("latin-1") for path in version.folder.iterdir())
    printed = " ".join(capsys.readouterr().out.split())
    for text in (
        "training: ",
        "held out: ",
        "GB of",
        "minutes",
        "licences in headers: none stated",
        "general code: 1 files",
    ):
        assert text in printed


def test_dry_run_writes_nothing(starcoder: Path, repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(starcoder, repository, is_dry_run=True) == 0
    assert "steps" in capsys.readouterr().out
    assert not AdapterVersions("own").folder.exists()


def test_interrupted_run_resumes_on_the_same_data_only(
    starcoder: Path, repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config, versions = settings.load({"model": {"name": str(starcoder)}}), AdapterVersions("own")
    options = Options([repository], device="cpu", rank=4, epochs=1.0, batch_tokens=192)
    plan = prepare(options, config, ignore_progress)
    base = training_base.identify(plan.checkpoint, config.model.name)
    training, _ = train_adapter.create_run(Request("own", {}), options, plan, base, versions)
    for report in training.train(save_every_s=0):
        if report.step == 2:
            break
    with pytest.raises(SettingsError, match="--restart"):
        run(starcoder, repository, rank=2, batch_tokens=192)
    assert run(starcoder, repository, batch_tokens=192) == 0
    assert "resumed at step 2" in capsys.readouterr().out
    assert versions.find().training["steps"] > 2


def test_minutes_limit_the_steps_and_full_writes_a_checkpoint(starcoder: Path, repository: Path) -> None:
    assert run(starcoder, repository, minutes=1e-9, method="full") == 0
    version = AdapterVersions("own").find()
    assert version.training["planned_steps"] == 1
    assert version.training["is_checkpoint"]
    assert json.loads((version.folder / "config.json").read_text())["model_type"] == "gpt_bigcode"
