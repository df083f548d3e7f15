from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest

from starcoder_ls.commands import eval_infilling
from starcoder_ls.commands.support import untrusted_programs
from starcoder_ls.completion.cursor import Cursor
from starcoder_ls.errors import SettingsError
from starcoder_ls.evaluation import infilling, sandbox
from starcoder_ls.generation import Engine

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


def test_interrupted_run_is_continued(
    starcoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("STARCODER_LS_STATE", str(tmp_path / "state"))
    file, suggest, documents = problems_file(tmp_path, *LINES), infilling.suggest, list[str]()

    async def count(engine: Engine, cursor: Cursor, options: Any) -> Any:
        if len(documents) == limit:
            raise KeyboardInterrupt
        documents.append(cursor.document)
        return await suggest(engine, cursor, options)

    def run(ways: list[str], **changes: str) -> tuple[list[str], str, str]:
        """The documents in which the server completes, and what is printed."""
        documents.clear()
        overlay = {"model": {"name": str(starcoder), "device": "cpu", "dtype": "float32", **changes}}
        with contextlib.suppress(KeyboardInterrupt):
            eval_infilling.run(overlay, None, file, ways, False, True)
        printed = capsys.readouterr()
        return [*documents], printed.out, " ".join(printed.err.split())

    monkeypatch.setattr(infilling, "suggest", count)
    limit = 2
    requested, out, err = run(["server", "gold"])
    assert (requested, out) == (["a", "b"], "")
    assert "2 answers are kept: the same command continues the run." in err
    limit = 9
    assert run(["server", "gold"], dtype="bfloat16")[0] == ["a", "b", "c"], "other settings"
    requested, out, err = run(["server", "gold"])
    assert requested == ["c"]
    assert "2 answers of an interrupted run are kept" in err
    assert [row["problems"] for row in json.loads(out)] == [1, 2, 1, 2]
    assert not list((tmp_path / "state").rglob("*.partial"))
    requested, again, _ = run(["server", "gold"])
    assert (requested, again) == (["a", "b", "c"], out)


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
