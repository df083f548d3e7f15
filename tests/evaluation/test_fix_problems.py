from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fakes import ScriptedEngine
from starcoder_ls.errors import ActionUnavailable, SettingsError
from starcoder_ls.evaluation.fix_problems import FIELDS, FixProblem, fix_with_model, parse_problems
from starcoder_ls.evaluation.infilling import read_rows
from starcoder_ls.generation import Phase
from starcoder_ls.settings import validate

FILE = Path(__file__).parents[1] / "data" / "fix_problems.jsonl"
SETTINGS = validate({"model": {"name": "some/model"}}, "the test")
COMMIT = frozenset({"<commit_before>", "<commit_msg>", "<commit_after>", "<filename>", "<reponame>"})


@pytest.fixture
def engine() -> Iterator[ScriptedEngine]:
    scripted = ScriptedEngine([["    return a + b\n"]], load_steps=1)
    scripted.set_status(phase=Phase.READY, special_tokens=COMMIT)
    scripted.start()
    yield scripted
    scripted.close()


@pytest.fixture
def problems() -> list[FixProblem]:
    return parse_problems(read_rows(FILE), FILE)


def test_program_calls_the_tests_once(problems: list[FixProblem]) -> None:
    for problem in problems:
        program = problem.build_program("code")
        assert program.startswith("code\n")
        assert program.rstrip().endswith(f"\ncheck({problem.entry_point})")
        assert program.count(f"\ncheck({problem.entry_point})") == 1


@pytest.mark.parametrize("field", FIELDS)
def test_row_without_a_field_is_an_error(field: str) -> None:
    row: dict[str, Any] = read_rows(FILE)[0]
    del row[field]
    with pytest.raises(SettingsError, match=field):
        parse_problems([row], FILE)


def test_problem_in_another_language_is_an_error() -> None:
    row = {**read_rows(FILE)[0], "task_id": "Go/0"}
    with pytest.raises(SettingsError, match="Only the problems in Python"):
        parse_problems([row], FILE)


def test_fix_is_the_action_on_the_function(engine: ScriptedEngine, problems: list[FixProblem]) -> None:
    fixed = asyncio.run(fix_with_model(SETTINGS, engine, problems[0]))
    assert fixed == "def add(a, b):\n    return a + b\n"
    parts = engine.requests[0].parts
    assert (parts[1], parts[3]) == ("def add(a, b):\n    return a - b", "Fix bug in add")
    assert "check" not in "".join(map(str, parts))


def test_unusable_answer_leaves_the_bug(engine: ScriptedEngine, problems: list[FixProblem]) -> None:
    engine.scripts = [["    return a - b\n"]]
    assert asyncio.run(fix_with_model(SETTINGS, engine, problems[0])) == problems[0].declaration + problems[0].buggy


def test_model_that_cannot_fix_is_an_error(engine: ScriptedEngine, problems: list[FixProblem]) -> None:
    engine.set_status(special_tokens=frozenset())
    with pytest.raises(ActionUnavailable):
        asyncio.run(fix_with_model(SETTINGS, engine, problems[0]))
