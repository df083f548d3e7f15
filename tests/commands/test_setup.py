from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from hub_server import HubRepository, HubServer, running_hub, use_hub
from starcoder_ls import settings
from starcoder_ls.commands.setup import SetupOptions, run
from starcoder_ls.commands.support.machine import Machine
from starcoder_ls.errors import ModelNotFound, SettingsError

ONE_B = "bigcode/starcoderbase-1b"
BOTH = ("completion", "instruct")


def gpu(_: Path) -> Machine:
    return Machine("cuda", "a GPU", 9e9, 1e12, 500e9)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def answer(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal(text))


def test_choice_is_written_and_other_settings_are_kept(tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    file.write_text(
        '# mine\n[model]\ndevice = "cpu"  # no GPU\nname = "old"\nrevision = "v1"\n\n[log]\nlevel = "error"\n'
    )
    assert run(SetupOptions(ONE_B, accepts_all=True, may_download=False), file, gpu) == 0
    config = settings.load(file=file)
    assert (config.model.name, config.model.device, config.log.level) == (ONE_B, "cpu", "error")
    assert config.model.revision is None
    assert config.adapters["instruct"].path == "bigcode/astraios-1b-lora"
    assert file.read_text().startswith('# mine\n[model]\ndevice = "cpu"  # no GPU\n')


def test_chat_tuned_model_gets_its_tasks_and_replaces_the_adapter(tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    run(SetupOptions(ONE_B, accepts_all=True, may_download=False), file, gpu)
    qwen = "Qwen/Qwen2.5-Coder-1.5B-Instruct"
    assert run(SetupOptions(qwen, accepts_all=True, may_download=False), file, gpu) == 0
    config = settings.load(file=file)
    assert (config.model.name, config.model.tasks, config.model.template) == (qwen, BOTH, "auto")
    assert not config.adapters


def test_adapter_of_the_user_is_kept(tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    file.write_text('[adapters.instruct]\npath = "/models/ours"\n')
    options = SetupOptions("Qwen/Qwen2.5-Coder-0.5B-Instruct", accepts_all=True, may_download=False)
    assert run(options, file, gpu) == 0
    assert settings.load(file=file).adapters["instruct"].path == "/models/ours"


def test_folders_are_written_with_their_absolute_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, model, adapter = tmp_path / "settings.toml", tmp_path / "my-model", tmp_path / "house"
    model.mkdir()
    adapter.mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("./my-model", "my-model", "~/my-model"):
        options = SetupOptions(name, adapter="house", accepts_all=True, may_download=False)
        assert run(options, file, gpu) == 0
        config = settings.load(file=file)
        assert (config.model.name, config.adapters["instruct"].path) == (str(model), str(adapter))


@pytest.mark.parametrize("text", ['model = "x"\n', "adapters = 3\n"])
def test_settings_without_tables_are_an_error_before_the_download(text: str, tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    file.write_text(text)
    with pytest.raises(SettingsError, match=r"must be a table \[(model|adapters)\]. Correct it first"):
        run(SetupOptions(ONE_B, accepts_all=True), file, gpu)
    assert file.read_text() == text


def test_nothing_is_written_without_a_terminal_or_consent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    with pytest.raises(SettingsError, match=r"Nothing was changed.*Add --yes to agree, or --list"):
        run(SetupOptions(), tmp_path / "settings.toml", gpu)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("typed", "code"), [("1\nn\n", 1), ("1\ny\n", 0), ("1\n", 1), ("", 1)])
def test_user_chooses_and_agrees_at_the_terminal(
    typed: str, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The end of input is a no."""
    answer(typed, monkeypatch)
    file = tmp_path / "settings.toml"
    assert run(SetupOptions(may_download=False), file, gpu) == code
    assert file.exists() == (code == 0)


def test_list_has_licences_gates_and_times(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(SetupOptions(is_list=True), tmp_path / "settings.toml", gpu) == 0
    printed = capsys.readouterr().out
    assert "a GPU: 9.0 GB of memory free, read at 500 GB/s; 1000.0 GB of disk free" in printed
    assert "BigCode OpenRAIL-M; actions, account" in " ".join(printed.split())
    assert max(map(len, printed.splitlines())) <= 80
    assert not list(tmp_path.iterdir())


def test_json_list_is_in_the_same_order(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(SetupOptions(is_json=True), tmp_path / "settings.toml", gpu) == 0
    listed = json.loads(capsys.readouterr().out)
    assert listed["machine"]["device"] == "cuda"
    assert {"bundled", ONE_B} <= {model["model"] for model in listed["models"]}
    assert listed["models"][0]["problem"] == ""
    assert listed["settingsFile"] == str(tmp_path / "settings.toml")
    one_b = next(model for model in listed["models"] if model["model"] == ONE_B)
    assert (one_b["needsAccount"], one_b["remarks"]) == (True, "actions, account")


def test_model_of_the_user_is_checked_before_the_settings_are_written(starcoder: Path, tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    with pytest.raises(ModelNotFound, match="There is no folder"):
        run(SetupOptions(model=str(tmp_path / "absent"), accepts_all=True), file, gpu)
    with pytest.raises(SettingsError, match="quantization"):
        run(SetupOptions(quantization="int2", accepts_all=True), file, gpu)
    assert not file.exists()
    assert run(SetupOptions(model=str(starcoder), adapter="", accepts_all=True), file, gpu) == 0
    assert settings.load(file=file).model.name == str(starcoder)
    assert not settings.load(file=file).adapters


def test_nothing_is_written_if_the_download_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with running_hub({}) as server:
        use_hub(server.url, tmp_path / "cache", monkeypatch)
        with pytest.raises(ModelNotFound, match="no Hub model"):
            run(SetupOptions("owner/absent", accepts_all=True), tmp_path / "settings.toml", gpu)
    assert not (tmp_path / "settings.toml").exists()


def test_editor_gets_progress_result_and_errors_as_json(
    starcoder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    repository, file = HubRepository.of_folder(starcoder), tmp_path / "settings.toml"
    options = SetupOptions("owner/small-instruct", accepts_all=True, is_json=True)

    def lines() -> list[dict[str, Any]]:
        return [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    with running_hub({"owner/small-instruct": repository}) as server:
        use_hub(server.url, tmp_path / "cache", monkeypatch)
        repository.is_gated = True
        assert run(options, file, gpu) == 1
        *_, last = lines()
        assert last["error"]["kind"] == "licence"
        assert last["error"]["page"] == f"{server.url}/owner/small-instruct"
        assert not file.exists()
        repository.is_gated = False
        assert run(options, file, gpu) == 0
    *progress, last = lines()
    assert last == {"written": str(file), "model": "owner/small-instruct", "adapter": None}
    assert any("Downloading owner/small-instruct" in line["message"] for line in progress)
    assert settings.load(file=file).model.tasks == BOTH


def _setup(server: HubServer, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own, as a user runs it."""
    environment = os.environ | {
        "HF_ENDPOINT": server.url,
        "HF_HOME": str(folder / "hub"),
        "STARCODER_LS_SETTINGS": str(folder / "settings.toml"),
    }
    for name in ("HF_TOKEN", "HF_HUB_OFFLINE"):  # the tests of the engine set the second
        environment.pop(name, None)
    command = [sys.executable, "-m", "starcoder_ls", "setup", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)


def test_command_downloads_from_the_endpoint_and_writes_the_settings(starcoder: Path, tmp_path: Path) -> None:
    repository = HubRepository.of_folder(starcoder)
    with running_hub({"owner/small-instruct": repository}) as server:
        repository.is_gated = True
        refused = _setup(server, tmp_path, "--model", "owner/small-instruct", "--yes")
        assert refused.returncode == 1
        [sentence] = refused.stderr.splitlines()
        assert f"Accept it at {server.url}/owner/small-instruct, then run" in sentence
        assert not (tmp_path / "settings.toml").exists()
        repository.is_gated = False
        done = _setup(server, tmp_path, "--model", "owner/small-instruct", "--yes")
        assert done.returncode == 0, done.stderr
        assert "settings.toml now has owner/small-instruct" in done.stdout
    model = settings.load(file=tmp_path / "settings.toml").model
    assert (model.name, model.tasks) == ("owner/small-instruct", BOTH)
