from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from starcoder_ls.daemon.launch_options import DEFAULTS, launch_options
from starcoder_ls.settings import Model


@pytest.fixture(autouse=True)
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "settings.toml"
    file.touch()
    monkeypatch.setenv("STARCODER_LS_SETTINGS", str(file))
    return file


def test_options_lie_over_the_file_and_the_editor_s_over_both(settings: Path) -> None:
    settings.write_text('[model]\nname = "a"\ndevice = "cpu"\ndtype = "float32"\n')
    window = launch_options(["--model", "b", "--stdio"])
    assert window is not None
    assert window.model({}) == {"name": "b", "device": "cpu", "dtype": "float32"}
    options = {"initializationOptions": {"starcoder": {"model": {"device": "cuda"}}}}
    assert window.model(options) == {"name": "b", "device": "cuda", "dtype": "float32"}


@pytest.mark.parametrize("arguments", [["--no-share"], ["--tcp", "0"], ["--help"], ["--model"], ["what"]])
def test_what_is_no_shared_server_is_left_to_the_whole_command_line(arguments: list[str]) -> None:
    assert launch_options(arguments) is None


def test_the_settings_can_turn_it_off(settings: Path) -> None:
    assert launch_options([]) is not None
    settings.write_text("[sharing]\nenabled = false\n")
    assert launch_options([]) is None


def test_a_settings_file_that_cannot_be_read_is_left_to_who_says_so(settings: Path) -> None:
    assert launch_options(["--settings", "/no/such/settings.toml"]) is None
    settings.write_text("[model\n")
    assert launch_options([]) is None


def test_options_that_are_none_count_for_nothing(settings: Path) -> None:
    settings.write_text("model = 5\n")
    window = launch_options([])
    assert window is not None
    assert window.model({"initializationOptions": 5}) == {}


def test_a_folder_is_named_so_that_another_process_finds_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "models").mkdir()
    monkeypatch.chdir(tmp_path)
    window = launch_options(["--model", "models", "--adapter", "owner/name"])
    assert window is not None
    assert window.hello()["overlay"] == {"model": {"name": str(tmp_path / "models")}}
    assert window.hello()["adapter"] == "owner/name"


def test_a_window_s_process_imports_nothing_heavy() -> None:
    code = (
        "import sys; import starcoder_ls.daemon.forwarder, starcoder_ls.daemon.launch_options, starcoder_ls.__main__;"
        "print(sorted({'torch', 'pygls', 'lsprotocol', 'pydantic', 'typer', 'rich', 'asyncio'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_defaults_are_those_of_the_settings_and_saying_one_says_nothing(settings: Path) -> None:
    assert Model().model_dump(mode="json", exclude={"template"}) == DEFAULTS
    settings.write_text('[model]\nname = "bundled"\ndevice = "auto"\n')
    window = launch_options(["--dtype", "auto"])
    assert window is not None
    assert window.model({"initializationOptions": {"model": {"threads": 0}}}) == {}
