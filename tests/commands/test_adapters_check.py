from __future__ import annotations

import json
from pathlib import Path

import pytest

from adapter_fixtures import GOLDEN
from starcoder_ls.commands import adapters_check


def test_adapter_that_fits_is_described(golden_settings: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert adapters_check.run(str(GOLDEN / "ptuning"), {}, golden_settings, True) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["fits"], result["method"], result["bytes"]) == (True, "P_TUNING", 4 * 30 * 64)


def test_missing_adapter_is_reported(golden_settings: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert adapters_check.run("/absent", {}, golden_settings, True) == 1
    assert "There is no adapter folder" in json.loads(capsys.readouterr().out)["problem"]
