from __future__ import annotations

import json
from pathlib import Path

import pytest

from adapter_fixtures import GOLDEN
from starcoder_ls.commands import adapters_list
from starcoder_ls.commands.support import settings_file


def test_list_describes_each_adapter_and_its_files(golden_settings: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert adapters_list.run(golden_settings, True) == 0
    assert json.loads(capsys.readouterr().out)["adapters"] == []
    settings_file.put(golden_settings, ("adapters", "own"), {"path": str(GOLDEN / "lora")})
    settings_file.put(golden_settings, ("adapters", "gone"), {"path": "/absent", "tasks": ["fix"]})
    assert adapters_list.run(golden_settings, True) == 1
    own, gone = json.loads(capsys.readouterr().out)["adapters"]
    assert (own["name"], own["method"], own["is_here"], own["bytes"]) == ("own", "LORA", True, 65405)
    assert (gone["is_here"], gone["tasks"]) == (False, ["fix"])
    assert "There is no adapter folder" in gone["problem"]
    assert adapters_list.run(golden_settings, False) == 1
    table = capsys.readouterr().out
    assert "LORA" in table
    assert "gone: There is no adapter folder /absent. Correct its `path`, or give a Hub id.\n" in table
