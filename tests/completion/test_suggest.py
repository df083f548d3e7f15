import asyncio
from collections.abc import Iterator
from dataclasses import replace

import pytest

from fakes import ScriptedEngine
from starcoder_ls.completion.suggest import Cursor, Suggestion, question, suggest
from starcoder_ls.errors import PromptTooLong
from starcoder_ls.generation import CancelFlag, Finish, Phase, Special, Status
from starcoder_ls.settings import InlineCompletion

CODE = "def double(x):\n    return \n\nprint(double(2))\n"
AT = CODE.index("return ") + len("return ")


@pytest.fixture
def engines() -> Iterator[list[ScriptedEngine]]:
    made: list[ScriptedEngine] = []
    yield made
    for engine in made:
        engine.close()


def started(engines: list[ScriptedEngine], *scripts: list[str], token_s: float = 0.0) -> ScriptedEngine:
    engine = ScriptedEngine(scripts=scripts, token_s=token_s, load_steps=0)
    engine.start()
    engines.append(engine)
    while engine.status().phase is Phase.LOADING:
        pass
    return engine


def answers(engine: ScriptedEngine, candidates: int = 1, **options: object) -> list[Suggestion]:
    return asyncio.run(suggest(engine, Cursor(CODE, AT), InlineCompletion(**options), candidates))  # type: ignore[arg-type]


def test_suggestion_ends_with_the_statement(engines: list[ScriptedEngine]) -> None:
    engine = started(engines, ["2 ", "* x", "\n", "\ndef more", "():\n"])
    (found,) = answers(engine)
    assert (found.text, found.start, found.end, found.finish) == ("2 * x", AT, AT, Finish.STOP_RULE)
    assert engine.steps <= 4


def test_candidates_that_look_alike_are_one(engines: list[ScriptedEngine]) -> None:
    engine = started(engines, ["x", "\n"], ["x", " ", "\n"], ["x * 2", "\n"])
    assert [found.text for found in answers(engine, 3)] == ["x", "x * 2"]


def test_only_several_candidates_are_drawn_at_random(engines: list[ScriptedEngine]) -> None:
    engine = started(engines, ["x", "\n"])
    answers(engine, 1)
    answers(engine, 3)
    assert [request.sampling.temperature for request in engine.requests] == [0.0, InlineCompletion().temperature]


def test_nothing_to_say_is_no_suggestion(engines: list[ScriptedEngine]) -> None:
    assert answers(started(engines, [" ", "\n", "\n"])) == []


def test_prompt_has_both_sides_of_the_cursor_and_the_file_name(engines: list[ScriptedEngine]) -> None:
    engine = started(engines, ["x"])
    asked = question(engine, Cursor(CODE, AT, path="/home/me/proj/pkg/mod.py"), InlineCompletion())
    texts = [part for part in asked.prompt.parts if isinstance(part, str)]
    assert CODE[: AT - 1] in texts
    assert asked.opening == " " == CODE[AT - 1]
    assert CODE[AT:].rstrip("\n") in [text.rstrip("\n") for text in texts]
    marks = {part.literal for part in asked.prompt.parts if isinstance(part, Special)}
    assert {"<fim_prefix>", "<fim_suffix>", "<fim_middle>"} <= marks


def test_answer_longer_than_the_budget_is_shown_as_far_as_it_got(engines: list[ScriptedEngine]) -> None:
    engine = started(engines, [f"word{i} + " for i in range(60)], token_s=0.02)
    (found,) = answers(engine, budget_ms=200)
    assert found.finish is Finish.DEADLINE
    assert found.text.startswith("word0 + ")


def test_cancelled_question_has_no_suggestions(engines: list[ScriptedEngine]) -> None:
    engine = started(engines, ["x", "\n"])
    flag = CancelFlag()
    flag.set()
    assert asyncio.run(suggest(engine, Cursor(CODE, AT), InlineCompletion(), 1, flag)) == []


def test_model_with_too_little_context_says_what_to_lower() -> None:
    class Small(ScriptedEngine):
        def status(self) -> Status:
            return replace(super().status(), context_tokens=600)

    with pytest.raises(PromptTooLong, match="max_new_tokens"):
        question(Small(load_steps=0), Cursor(CODE, AT), InlineCompletion(max_new_tokens=512))


def test_smallest_prompt_that_the_settings_allow_is_enough(engines: list[ScriptedEngine]) -> None:
    assert answers(started(engines, ["x", "\n"]), prompt_tokens=64)


@pytest.mark.parametrize("ending", ["\r", "\r\n"])
def test_model_reads_line_feeds_whatever_the_file_has(engines: list[ScriptedEngine], ending: str) -> None:
    engine = started(engines, ["x\n", "    y\n", "z\n"])
    text = CODE.replace("\n", ending)
    cursor = Cursor(text, text.index("return ") + len("return "))
    (found,) = asyncio.run(suggest(engine, cursor, InlineCompletion()))
    assert found.text == "x"
    assert found.start == cursor.offset
    assert not any("\r" in part for part in engine.requests[0].parts if isinstance(part, str))
