from __future__ import annotations

import json
from pathlib import Path

import pytest

import adapters as made
from starcoder_ls import settings
from starcoder_ls.commands import adapters
from starcoder_ls.commands.support import adapter_option, settings_file
from starcoder_ls.errors import AdapterInvalid, SettingsError

WRITTEN = '# mine\n[model]\nname = "{base}"  # the small one\ndevice = "cpu"\n\n[log]  # quiet\nlevel = "error"\n'


@pytest.fixture
def file(tmp_path: Path) -> Path:
    base = made.golden_base(tmp_path / "base")
    place = tmp_path / "settings.toml"
    place.write_text(WRITTEN.format(base=base.as_posix()), encoding="utf-8")
    return place


def test_added_adapter_is_in_the_settings_and_all_else_as_it_was(file: Path, capsys: pytest.CaptureFixture) -> None:  # type: ignore[type-arg]
    before = file.read_text(encoding="utf-8")
    assert adapters.add("explain", str(made.GOLDEN / "parallel"), file, ["explain", "ask"], ["python"], []) == 0
    assert "explain: BOTTLENECK" in capsys.readouterr().out
    after = file.read_text(encoding="utf-8")
    assert after.startswith(before)
    adapter = settings.load(file=file).adapters["explain"]
    assert adapter.path == str(made.GOLDEN / "parallel")
    assert (adapter.tasks, adapter.languages) == (("explain", "ask"), ("python",))
    assert adapters.remove("explain", file) == 0
    assert file.read_text(encoding="utf-8").strip() == before.strip()
    with pytest.raises(SettingsError, match="has no adapter explain"):
        adapters.remove("explain", file)


def test_a_task_that_nothing_asks_for_is_told(file: Path, capsys: pytest.CaptureFixture) -> None:  # type: ignore[type-arg]
    lora = str(made.GOLDEN / "lora")
    assert adapters.add("one", lora, file, ["explain", "instruct", "completion"], [], []) == 0
    assert "Nothing asks for" not in capsys.readouterr().err
    assert adapters.add("two", lora, file, ["explian"], [], []) == 0
    said = " ".join(capsys.readouterr().err.split())
    assert "Nothing asks for the task explian yet. There are: ask, completion, document, explain" in said


def test_adapter_that_does_not_fit_is_not_written(file: Path, tmp_path: Path) -> None:
    before = file.read_text(encoding="utf-8")
    with pytest.raises(AdapterInvalid, match=r"has no adapter_config\.json"):
        adapters.add("explain", str(tmp_path), file, [], [], [])
    with pytest.raises(SettingsError, match="adapters"):
        adapters.add("../up", str(made.GOLDEN / "lora"), file, [], [], [])
    assert file.read_text(encoding="utf-8") == before


def test_list_says_what_is_here(file: Path, capsys: pytest.CaptureFixture) -> None:  # type: ignore[type-arg]
    assert adapters.show(file, True) == 0
    assert json.loads(capsys.readouterr().out)["adapters"] == []
    settings_file.put(file, ("adapters", "own"), {"path": str(made.GOLDEN / "lora")})
    settings_file.put(file, ("adapters", "gone"), {"path": "/absent", "tasks": ["fix"]})
    assert adapters.show(file, True) == 1
    own, gone = json.loads(capsys.readouterr().out)["adapters"]
    assert (own["name"], own["method"], own["is_here"], own["bytes"]) == ("own", "LORA", True, 65405)
    assert (gone["is_here"], gone["tasks"]) == (False, ["fix"])
    assert "There is no adapter folder" in gone["problem"]
    assert adapters.show(file, False) == 1
    assert "LORA" in capsys.readouterr().out


def test_check_loads_it_as_the_server_would(file: Path, capsys: pytest.CaptureFixture) -> None:  # type: ignore[type-arg]
    assert adapters.check(str(made.GOLDEN / "ptuning"), {}, file, True) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["fits"], found["method"], found["bytes"]) == (True, "P_TUNING", 4 * 30 * 64)
    assert adapters.check("/absent", {}, file, True) == 1
    assert "There is no adapter folder" in json.loads(capsys.readouterr().out)["problem"]


def test_merge_writes_a_model_that_loads(file: Path, tmp_path: Path) -> None:
    from starcoder_ls.engine.loading.load_model import load

    base = settings.load(file=file).model.name
    assert adapters.merge(base, [str(made.GOLDEN / "lora")], tmp_path / "merged", file) == 0
    assert load(settings.Model(name=str(tmp_path / "merged"), device="cpu"), lambda _f, _s: None).message == ""


def test_option_is_a_name_of_the_settings_or_a_path(file: Path) -> None:
    settings_file.put(file, ("adapters", "own"), {"path": "/a", "languages": ["python"]})
    named = settings.load(adapter_option.overlay("own", {}, file), file=file).adapters["own"]
    assert (named.path, named.tasks, named.languages) == ("/a", ("completion", "instruct"), ())
    given = settings.load(adapter_option.overlay("bigcode/astraios-7b-lora", {}, file), file=file).adapters
    assert given["astraios-7b-lora"].path == "bigcode/astraios-7b-lora"
    assert set(given) == {"own", "astraios-7b-lora"}
    assert adapter_option.name_of("/some/v1.2 final/") == "v1-2-final"
    assert adapter_option.name_of("..") == "adapter"
