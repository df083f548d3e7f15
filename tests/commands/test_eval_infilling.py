from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from starcoder_ls.commands import eval_infilling
from starcoder_ls.commands.support import untrusted_programs
from starcoder_ls.errors import SettingsError
from starcoder_ls.evaluation import sandbox

LINES = [
    {"name": "a", "language": "py", "prompt": "def f(a):", "suffix": "", "canonical_solution": "    return a"},
    {"name": "b", "language": "py", "prompt": "def f(a):", "suffix": "", "canonical_solution": "    return b"},
    {"name": "c", "language": "js", "prompt": "{", "suffix": "", "canonical_solution": "  }"},
]
PROGRAM = {
    "task_id": "one/0",
    "entry_point": "one",
    "prompt": "def one():\n    ret",
    "suffix": "1\n",
    "canonical_solution": "urn ",
    "test": "def check(candidate):\n    assert candidate() == 1\n",
}


def problems_file(folder: Path, *rows: dict[str, Any]) -> Path:
    file = folder / "problems.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


def test_lines_are_scored_by_both_conventions(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert eval_infilling.run({}, None, problems_file(tmp_path, *LINES), ["gold", "empty"], False, True) == 0
    rows = {(row["way"], row["language"]): row for row in json.loads(capsys.readouterr().out)}
    assert rows["gold", "py"] == {
        "way": "gold", "language": "py", "problems": 2,
        "exact": 2, "exact_words": 2, "first_line": 2, "first_line_words": 2,
    }  # fmt: skip
    assert rows["gold", "js"]["exact"] == 1
    assert rows["gold", "js"]["exact_words"] == 0
    assert rows["empty", "py"]["exact"] == rows["empty", "py"]["first_line"] == 0


def test_table_of_lines_names_both_conventions(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    eval_infilling.run({}, None, problems_file(tmp_path, *LINES), ["gold"], False, False)
    table = capsys.readouterr().out
    assert "exact match" in table
    assert "first line" in table
    assert "| gold | js | 1 | 100.0 (20.7–100.0) | 100.0 (20.7–100.0) | none | none |" in table


def test_programs_run_only_if_the_user_allows_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = problems_file(tmp_path, PROGRAM)
    with pytest.raises(SettingsError, match="--run-untrusted-code"):
        eval_infilling.run({}, None, file, ["gold"], False, True)
    eval_infilling.run({}, None, file, ["gold", "empty"], True, True)
    results = json.loads(capsys.readouterr().out)
    assert results == {"gold": {"passed": 1, "problems": 1}, "empty": {"passed": 0, "problems": 1}}


def test_missing_network_isolation_is_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    eval_infilling.run({}, None, problems_file(tmp_path, PROGRAM), ["gold"], True, True)
    is_reported = "the programs can reach the network" in " ".join(capsys.readouterr().err.split())
    assert is_reported is not sandbox.can_isolate_network()
    assert "the programs can reach the network" in untrusted_programs.network_warning(False)
    assert untrusted_programs.network_warning(True) == ""
