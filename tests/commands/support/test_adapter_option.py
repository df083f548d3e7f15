from __future__ import annotations

from pathlib import Path

import pytest

from starcoder_ls import settings
from starcoder_ls.commands.support import adapter_option, settings_file
from starcoder_ls.errors import SettingsError


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "settings.toml"
    file.write_text('[model]\nname = "x/y"\n')
    settings_file.put(file, ("adapters", "own"), {"path": "/a", "languages": ["python"]})
    return file


def test_name_in_the_settings_is_used_for_all_tasks_and_languages(file: Path) -> None:
    adapter = settings.load(adapter_option.overlay("own", {}, file), file=file).adapters["own"]
    assert (adapter.path, adapter.tasks, adapter.languages) == ("/a", ("completion", "instruct"), ())


def test_path_is_added_under_its_last_component(file: Path) -> None:
    config = settings.load(adapter_option.overlay("bigcode/astraios-7b-lora", {}, file), file=file)
    assert config.adapters["astraios-7b-lora"].path == "bigcode/astraios-7b-lora"
    assert set(config.adapters) == {"own", "astraios-7b-lora"}
    assert adapter_option.adapter_name("bigcode/astraios-7b-lora", config) == "astraios-7b-lora"
    assert adapter_option.adapter_name("own", config) == "own"


def test_unknown_name_is_rejected(file: Path) -> None:
    with pytest.raises(SettingsError, match="there are: own"):
        adapter_option.overlay("other", {}, file)


@pytest.mark.parametrize(("path", "name"), [("/some/v1.2 final/", "v1-2-final"), ("..", "adapter")])
def test_name_from_path_has_valid_characters_only(path: str, name: str) -> None:
    assert adapter_option.name_from_path(path) == name
