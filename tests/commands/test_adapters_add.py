from __future__ import annotations

from pathlib import Path

import pytest

from adapter_fixtures import GOLDEN
from starcoder_ls import settings
from starcoder_ls.commands import adapters_add
from starcoder_ls.errors import AdapterInvalid, SettingsError


def test_added_adapter_is_appended_to_the_settings_file(
    golden_settings: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = golden_settings.read_text(encoding="utf-8")
    path = str(GOLDEN / "parallel")
    assert adapters_add.run("explain", path, golden_settings, ["explain", "ask"], ["python"], []) == 0
    assert "explain: BOTTLENECK" in capsys.readouterr().out
    assert golden_settings.read_text(encoding="utf-8").startswith(before)
    adapter = settings.load(file=golden_settings).adapters["explain"]
    assert adapter.path == path
    assert (adapter.tasks, adapter.languages) == (("explain", "ask"), ("python",))


def test_unknown_task_is_reported(golden_settings: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lora = str(GOLDEN / "lora")
    assert adapters_add.run("one", lora, golden_settings, ["explain", "instruct", "completion"], [], []) == 0
    assert "No action has" not in capsys.readouterr().err
    assert adapters_add.run("two", lora, golden_settings, ["explian"], [], []) == 0
    error = " ".join(capsys.readouterr().err.split())
    assert "No action has the task explian yet. Known tasks: ask, completion, document, explain" in error


def test_adapter_that_does_not_fit_is_not_written(golden_settings: Path, tmp_path: Path) -> None:
    before = golden_settings.read_text(encoding="utf-8")
    with pytest.raises(AdapterInvalid, match=r"has no adapter_config\.json"):
        adapters_add.run("explain", str(tmp_path), golden_settings, [], [], [])
    with pytest.raises(SettingsError, match="adapters"):
        adapters_add.run("../up", str(GOLDEN / "lora"), golden_settings, [], [], [])
    assert golden_settings.read_text(encoding="utf-8") == before
