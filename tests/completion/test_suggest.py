import asyncio
from collections.abc import Iterator
from dataclasses import replace

import pytest

from fakes import ScriptedEngine
from starcoder_ls.completion.suggest import Cursor, Suggestion, build_prompt, suggest
from starcoder_ls.context.snippets import PromptContext, Snippet
from starcoder_ls.errors import PromptTooLong
from starcoder_ls.generation import CancelFlag, FinishReason, Phase, SpecialToken, Status
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
    assert (found.text, found.start, found.end, found.finish_reason) == ("2 * x", AT, AT, FinishReason.STOP_RULE)
    assert engine.steps <= 4


def test_candidates_that_look_alike_are_one(engines: list[ScriptedEngine]) -> None:
    engine = started(engines, ["x", "\n"], ["x", " ", "\n"], ["x * 2", "\n"])
    assert [found.text for found in answers(engine, 3)] == ["x", "x * 2"]


def test_candidates_that_differ_by_a_comment_or_a_comma_are_one(engines: list[ScriptedEngine]) -> None:
    engine = started(engines, ["f('x')", "\n"], ['f("x")  # type: ignore', "\n"], ["f('x'),", "\n"], ["f('y')", "\n"])
    cursor = Cursor(CODE, AT, "python")
    found = asyncio.run(suggest(engine, cursor, InlineCompletion(), 4))
    assert [one.text for one in found] == ["f('x')", "f('y')"]


def test_only_several_candidates_are_drawn_at_random(engines: list[ScriptedEngine]) -> None:
    engine = started(engines, ["x", "\n"])
    answers(engine, 1)
    answers(engine, 3)
    assert [request.sampling.temperature for request in engine.requests] == [0.0, InlineCompletion().temperature]


def test_nothing_to_say_is_no_suggestion(engines: list[ScriptedEngine]) -> None:
    assert answers(started(engines, [" ", "\n", "\n"])) == []


def test_prompt_has_both_sides_of_the_cursor_and_the_file_name(engines: list[ScriptedEngine]) -> None:
    engine = started(engines, ["x"])
    asked = build_prompt(engine, Cursor(CODE, AT, path="/home/me/proj/pkg/mod.py"), InlineCompletion())
    texts = [part for part in asked.prompt.parts if isinstance(part, str)]
    assert CODE[: AT - 1] in texts
    assert asked.forced_prefix == " " == CODE[AT - 1]
    assert CODE[AT:].rstrip("\n") in [text.rstrip("\n") for text in texts]
    marks = {part.literal for part in asked.prompt.parts if isinstance(part, SpecialToken)}
    assert {"<fim_prefix>", "<fim_suffix>", "<fim_middle>"} <= marks


def test_answer_longer_than_the_budget_is_shown_as_far_as_it_got(engines: list[ScriptedEngine]) -> None:
    engine = started(engines, [f"word{i} + " for i in range(60)], token_s=0.02)
    (found,) = answers(engine, budget_ms=200)
    assert found.finish_reason is FinishReason.DEADLINE
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
        build_prompt(Small(load_steps=0), Cursor(CODE, AT), InlineCompletion(max_new_tokens=512))


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


SECRET = "hunter2" + "hunter2"


def test_secrets_are_masked_in_the_prompt_on_both_sides_and_in_what_is_healed(engines: list[ScriptedEngine]) -> None:
    engine = started(engines, ["x", "\n"])
    line = f'password = "{SECRET}"\n'
    for text, at in ((line + "x = \n" + line, len(line) + 4), (line, len(line) - 3)):
        asyncio.run(suggest(engine, Cursor(text, at), InlineCompletion()))
        request = engine.requests[-1]
        assert SECRET[:6] not in str(request.parts) + request.forced_prefix
        assert "xxxxxxxx" in str(request.parts) + request.forced_prefix
        assert "password" in str(request.parts)


def test_private_key_that_the_window_cuts_through_is_masked(engines: list[ScriptedEngine]) -> None:
    engine = started(engines, ["x", "\n"])
    body = "".join(f"{'aB3d' * 16}\n" for _ in range(60))
    text = f"KEY = '''-----BEGIN RSA PRIVATE KEY-----\n{body}-----END RSA PRIVATE KEY-----'''\nx = "
    asyncio.run(suggest(engine, Cursor(text, len(text)), InlineCompletion(prompt_tokens=200)))
    assert "aB3d" not in str(engine.requests[0].parts)
    assert "xxxx" in str(engine.requests[0].parts)


def test_suggestion_that_says_a_secret_or_a_mask_is_not_shown(engines: list[ScriptedEngine]) -> None:
    for script in ('"' + "gh" + "p_" + "aB3" * 12 + '"', '"xxxxxxxxxxxx"'):
        assert answers(started(engines, [script, "\n"])) == []


def test_snippets_take_room_of_their_own_and_evidence_is_no_part_of_the_prompt(engines: list[ScriptedEngine]) -> None:
    engine = started(engines, ["x", "\n"])
    around = PromptContext((Snippet("other.py", "shown_text = 1"),), tokens=20, lookup_text=("hidden_text = 2",))
    asyncio.run(suggest(engine, Cursor(CODE, AT, "python", around=around), InlineCompletion()))
    (request,) = engine.requests
    assert "# other.py:\n# shown_text = 1\n" in request.parts
    assert "hidden_text" not in str(request.parts)
    assert request.lookup_text == ("hidden_text = 2",)
    (at,) = request.prefix_parts
    assert request.parts[at] == "def double(x):\n    return"
