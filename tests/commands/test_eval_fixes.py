from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from starcoder_ls.commands import eval_fixes
from starcoder_ls.errors import SettingsError

FILE = Path(__file__).parents[1] / "data" / "fix_problems.jsonl"


def test_programs_run_only_if_the_user_allows_it() -> None:
    with pytest.raises(SettingsError, match="--run-untrusted-code"):
        eval_fixes.run({}, None, FILE, ["gold"], False, True)


@pytest.mark.skipif(sys.platform == "win32", reason="limits of a POSIX child process")
def test_reference_answers_pass_and_bugs_do_not(capsys: pytest.CaptureFixture[str]) -> None:
    assert eval_fixes.run({}, None, FILE, ["gold", "buggy"], True, True) == 0
    results = json.loads(capsys.readouterr().out)
    assert results == {"gold": {"passed": 2, "problems": 2}, "buggy": {"passed": 0, "problems": 2}}


def test_other_file_is_an_error(tmp_path: Path) -> None:
    file = tmp_path / "problems.jsonl"
    file.write_text('{"a": 1}\n')
    with pytest.raises(SettingsError, match="HumanEvalFix"):
        eval_fixes.run({}, None, file, ["gold"], True, True)
