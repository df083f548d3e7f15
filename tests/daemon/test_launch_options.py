from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from starcoder_ls.daemon import runtime_dir
from starcoder_ls.daemon.engine_client import daemon_socket_path
from starcoder_ls.daemon.launch_options import DEFAULTS, REMOTE_DEFAULTS, launch_options
from starcoder_ls.settings import Model, Remote, load


@pytest.fixture(autouse=True)
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "settings.toml"
    file.touch()
    monkeypatch.setenv("STARCODER_LS_SETTINGS", str(file))
    return file


def test_editor_options_override_arguments_which_override_the_file(settings: Path) -> None:
    settings.write_text('[model]\nname = "a"\ndevice = "cpu"\ndtype = "float32"\n')
    options = launch_options(["--model", "b", "--stdio"])
    assert options is not None
    assert options.model({}) == {"name": "b", "device": "cpu", "dtype": "float32"}
    params = {"initializationOptions": {"starcoder": {"model": {"device": "cuda"}}}}
    assert options.model(params) == {"name": "b", "device": "cuda", "dtype": "float32"}


def test_model_option_and_editor_inherit_no_tasks_of_another_model(settings: Path) -> None:
    settings.write_text('[model]\nname = "a"\ntasks = ["instruct"]\nthreads = 2\n')
    options = launch_options(["--model", "b"])
    assert options is not None
    assert options.model({}) == {"name": "b", "threads": 2}
    options = launch_options([])
    assert options is not None
    assert options.model({"initializationOptions": {"model": {"name": "b"}}}) == {"name": "b", "threads": 2}
    assert options.model({}) == {"name": "a", "tasks": ["instruct"], "threads": 2}


@pytest.mark.parametrize("arguments", [["--no-share"], ["--tcp", "0"], ["--help"], ["--model"], ["what"]])
def test_arguments_of_no_shared_server_give_no_launch_options(arguments: list[str]) -> None:
    assert launch_options(arguments) is None


def test_settings_can_disable_sharing(settings: Path) -> None:
    assert launch_options([]) is not None
    settings.write_text("[sharing]\nenabled = false\n")
    assert launch_options([]) is None


def test_unreadable_settings_file_gives_no_launch_options(settings: Path) -> None:
    assert launch_options(["--settings", "/no/such/settings.toml"]) is None
    settings.write_text("[model\n")
    assert launch_options([]) is None


def test_values_of_wrong_types_are_ignored(settings: Path) -> None:
    settings.write_text("model = 5\n")
    options = launch_options([])
    assert options is not None
    assert options.model({"initializationOptions": 5}) == {}


def test_model_folder_becomes_an_absolute_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "models").mkdir()
    monkeypatch.chdir(tmp_path)
    options = launch_options(["--model", "models", "--adapter", "owner/name"])
    assert options is not None
    assert options.hello()["overlay"] == {"model": {"name": str(tmp_path / "models")}}
    assert options.hello()["adapter"] == "owner/name"


def test_window_process_imports_no_heavy_library() -> None:
    code = (
        "import sys; import starcoder_ls.daemon.forwarder, starcoder_ls.daemon.launch_options, starcoder_ls.__main__;"
        "print(sorted({'torch', 'pygls', 'lsprotocol', 'pydantic', 'typer', 'rich', 'asyncio'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_defaults_equal_those_of_settings_and_are_left_out(settings: Path) -> None:
    assert Model().model_dump(mode="json") == DEFAULTS
    assert Remote().model_dump(mode="json") == REMOTE_DEFAULTS
    settings.write_text('[model]\nname = "bundled"\ndevice = "auto"\n')
    options = launch_options(["--dtype", "auto"])
    assert options is not None
    assert options.model({"initializationOptions": {"model": {"threads": 0}}}) == {}


def test_windows_with_another_server_for_the_model_get_another_daemon(settings: Path) -> None:
    settings.write_text('[remote]\nurl = "https://a.example"\nprefill = "off"\n')
    options, local = launch_options([]), launch_options(["--engine", "local"])
    other = launch_options(["--engine", "https://b.example"])
    assert options is not None
    assert local is not None
    assert other is not None
    assert options.engine({}) == {"remote": {"url": "https://a.example"}}
    assert (local.engine({}), local.overlay["remote"]) == ({}, {"url": ""})
    assert other.engine({}) == {"remote": {"url": "https://b.example"}}
    editor = {"initializationOptions": {"starcoder": {"remote": {"url": "https://c.example"}}}}
    assert options.engine(editor) == {"remote": {"url": "https://c.example"}}


def test_window_and_commands_use_one_daemon_after_setup(settings: Path) -> None:
    settings.write_text('[model]\nname = "bundled"\nquantization = "none"\ntemplate = "auto"\n')
    options = launch_options([])
    assert options is not None
    socket = runtime_dir.socket_path(runtime_dir.daemon_key(runtime_dir.DAEMON_COMMAND, options.engine({})))
    assert socket == daemon_socket_path(load())
