import asyncio
from collections.abc import Iterator

import pytest

from fakes import ScriptedEngine
from starcoder_ls.completion.suggest import Cursor, Suggestion, question, suggest
from starcoder_ls.errors import PromptTooLong
from starcoder_ls.generation import CancelFlag, Finish, Phase, Special
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
    assert CODE[:AT] in texts
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


def test_model_with_too_little_context_says_what_to_lower(engines: list[ScriptedEngine]) -> None:
    with pytest.raises(PromptTooLong, match="max_new_tokens"):
        question(started(engines, ["x"]), Cursor(CODE, AT), InlineCompletion(max_new_tokens=1024, prompt_tokens=64))
