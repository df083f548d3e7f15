from __future__ import annotations

import json
import sys

import pytest

from starcoder_ls.commands.support.untrusted_programs import print_pass_rates, require_permission, run_programs
from starcoder_ls.errors import SettingsError


def test_permission_is_required() -> None:
    with pytest.raises(SettingsError, match="--run-untrusted-code"):
        require_permission(False)


@pytest.mark.skipif(sys.platform == "win32", reason="limits of a POSIX child process")
def test_programs_pass_or_not() -> None:
    require_permission(True)
    assert run_programs(["x = 1", "1 / 0"], "gold") == [True, False]


def test_pass_rates_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    results = {"gold": [True, True], "model": [True, False]}
    print_pass_rates(results, "fixed by", True)
    assert json.loads(capsys.readouterr().out)["model"] == {"passed": 1, "problems": 2}
    print_pass_rates(results, "fixed by", False)
    output = capsys.readouterr().out
    assert "| fixed by |" in output
    assert "1 of 2" in output
