from __future__ import annotations

import asyncio
import functools
import gzip
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from fakes import ScriptedEngine
from starcoder_ls.completion.cursor import Cursor
from starcoder_ls.errors import SettingsError
from starcoder_ls.evaluation import infilling, sandbox, santacoder
from starcoder_ls.generation import Phase, SpecialToken
from starcoder_ls.settings import InlineCompletion

ROW = {
    "task_id": "one/0",
    "entry_point": "one",
    "prompt": "def one():\n    ret",
    "suffix": "1\n",
    "canonical_solution": "urn ",
    "test": "def check(candidate):\n    assert candidate() == 1\n",
}
LIMIT_S = 300.0
"""The published limit of 3 s can be too short on a busy machine."""

PUBLISHED = Path(__file__).parents[3] / "shared" / "data" / "human-eval-infilling"


@pytest.mark.parametrize("is_gzipped", [True, False])
def test_program_passes_with_the_original_middle_only(tmp_path: Path, is_gzipped: bool) -> None:
    file = tmp_path / "problems"
    text = json.dumps(ROW).encode() + b"\n\n"
    file.write_bytes(gzip.compress(text) if is_gzipped else text)
    (problem,) = infilling.parse_problems(infilling.read_rows(file), file)
    assert sandbox.passes(problem.build_program(problem.middle), LIMIT_S)
    assert not sandbox.passes(problem.build_program(""))


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"task_id": 1}', b"\x1f\x8bno", b"\xff\xfe"])
def test_file_that_has_no_problems_is_rejected(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "problems"
    file.write_bytes(content)
    with pytest.raises(SettingsError, match="cannot be read as infilling problems"):
        infilling.parse_problems(infilling.read_rows(file), file)


def test_model_completes_without_stop_rule_and_server_with_one() -> None:
    engine = ScriptedEngine([["urn ", "\nmore"]])
    is_ready = threading.Event()
    engine.subscribe(lambda status: is_ready.set() if status.phase is Phase.READY else None)
    engine.start()
    assert is_ready.wait()
    problem = infilling.HumanEvalProblem("one/0", "one", ROW["prompt"], ROW["suffix"], "urn ", ROW["test"])

    async def complete() -> tuple[list[str], list[str]]:
        generated = [text async for text in infilling.complete_with_model(engine, [problem], "psm")]
        suggested = [text async for text in infilling.complete_with_server(engine, [problem], InlineCompletion())]
        return generated, suggested

    try:
        generated, suggested = asyncio.run(complete())
    finally:
        engine.close()
    assert generated == ["urn \nmore"]
    assert engine.requests[0].parts == (
        SpecialToken("<fim_prefix>"), ROW["prompt"], SpecialToken("<fim_suffix>"), ROW["suffix"],
        SpecialToken("<fim_middle>"),
    )  # fmt: skip
    assert engine.requests[0].stop is None
    assert engine.requests[1].stop is not None
    assert len(suggested) == 1


def humaneval(prefix: str, middle: str, suffix: str) -> infilling.HumanEvalProblem:
    return infilling.HumanEvalProblem("one/0", "one", prefix, suffix, middle, "")


def santacoder_line(prefix: str, middle: str, suffix: str) -> santacoder.SantaCoderProblem:
    return santacoder.SantaCoderProblem("py/1", "py", prefix, suffix, middle)


@pytest.mark.parametrize(
    ("problem", "text"),
    [
        (humaneval("def f(x):\n", "    x += 1\n", "    return x\n"), "def f(x):\n    |\n    return x\n"),
        (humaneval("def f(x):\n", "    x += 1\n    x *= 2\n", "    return x\n"), "def f(x):\n    |\n    return x\n"),
        (humaneval("def f(x):\n    ", "x += 1\n", "    return x\n"), "def f(x):\n    |\n    return x\n"),
        (humaneval("def f(x):\n", "    return x", ""), "def f(x):\n    |"),
        (humaneval("def f(x):\n    ret", "urn x\n    y", " = 1\n"), "def f(x):\n    ret| = 1\n"),
        (santacoder_line("def f(x):", "    return x", "\ny = 1"), "def f(x):\n    |\ny = 1"),
        (santacoder_line("def f(x):", "return x", "y = 1"), "def f(x):\n    |\ny = 1"),
        (santacoder_line("function f() {\n  let y;", "return x;", "\n}"), "function f() {\n  let y;\n  |\n}"),
        (santacoder_line("def f(x):\n", "    return x", "\ny = 1"), "def f(x):\n    |\ny = 1"),
    ],
)
def test_cursor_is_on_an_own_indented_line(problem: infilling.InfillingProblem, text: str) -> None:
    positioned = infilling.position_cursor(problem)
    assert f"{positioned.text[: positioned.offset]}|{positioned.text[positioned.offset :]}" == text
    assert problem.prefix + positioned.head + positioned.tail + problem.suffix == positioned.text


def complete_with_server(engine: ScriptedEngine, options: InlineCompletion, adapter: str | None = None) -> list[str]:
    """The answers to one problem whose missing line is ``    x += 1``."""

    def with_adapter(cursor: Cursor) -> Cursor:
        return replace(cursor, adapter=adapter)

    is_ready = threading.Event()
    engine.subscribe(lambda status: is_ready.set() if status.phase is Phase.READY else None)
    engine.start()
    assert is_ready.wait()
    problem = humaneval("def f(x):\n", "    x += 1\n", "    return x\n")

    async def complete() -> list[str]:
        texts = infilling.complete_with_server(engine, [problem], options, with_adapter=with_adapter)
        return [text async for text in texts]

    try:
        return asyncio.run(complete())
    finally:
        engine.close()


def test_answer_of_the_server_includes_what_the_line_had() -> None:
    engine = ScriptedEngine([["x", " +=", " 1", "\n"]])
    assert complete_with_server(engine, InlineCompletion()) == ["    x += 1\n"]


def test_adapter_of_the_settings_answers() -> None:
    engine = ScriptedEngine([["x", " +=", " 1", "\n"]])
    complete_with_server(engine, InlineCompletion(), "house")
    assert engine.requests[0].adapter == "house"


def test_time_limit_of_the_settings_does_not_cut_the_answers() -> None:
    engine = ScriptedEngine([["x", " +=", " 1", "\n"]], token_s=0.02)
    assert complete_with_server(engine, InlineCompletion(budget_ms=50)) == ["    x += 1\n"]


@pytest.mark.slow
def test_gold_and_empty_answers_score_as_published() -> None:
    """Gold answers pass, of which each fourth is run; empty ones where the missing text has no effect (27 of 1033
    single lines)."""
    counts = {"SingleLine": (1033, 27), "RandomSpanInfillingLight": (164, 0)}
    checked = 0
    for name, (count, empty) in counts.items():
        for file in PUBLISHED.glob(f"HumanEval-{name}*.jsonl.gz"):
            problems = infilling.parse_problems(infilling.read_rows(file), file)
            assert len(problems) == count
            with ThreadPoolExecutor(2) as pool:
                gold = [problem.build_program(problem.middle) for problem in problems[::4]]
                assert all(pool.map(functools.partial(sandbox.passes, timeout_s=LIMIT_S), gold))
                assert sum(pool.map(sandbox.passes, (problem.build_program("") for problem in problems))) == empty
            checked += 1
    if not checked:
        pytest.skip("the published problems are not on this machine")


def test_closers_after_the_cursor_are_not_inserted_twice() -> None:
    engine = ScriptedEngine([["1", ")", "\n"]])
    is_ready = threading.Event()
    engine.subscribe(lambda status: is_ready.set() if status.phase is Phase.READY else None)
    engine.start()
    assert is_ready.wait()
    problem = infilling.HumanEvalProblem("one/0", "one", "def one():\n    return abs(", ")\n", "1", ROW["test"])

    async def complete() -> list[str]:
        return [text async for text in infilling.complete_with_server(engine, [problem], InlineCompletion())]

    try:
        (answer,) = asyncio.run(complete())
    finally:
        engine.close()
    assert sandbox.passes(problem.build_program(answer), LIMIT_S), answer
