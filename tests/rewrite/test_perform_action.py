from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fakes import ScriptedEngine
from starcoder_ls.context import secrets
from starcoder_ls.errors import ActionUnavailable, AnswerUnusable
from starcoder_ls.generation import FinishReason, Phase
from starcoder_ls.hidden_characters import strip_hidden_characters
from starcoder_ls.rewrite import answer_parsing, docstrings, edits, perform_action
from starcoder_ls.rewrite.perform_action import ActionRoute
from starcoder_ls.rewrite.target import Target, find_target
from starcoder_ls.settings import Settings, validate

SETTINGS = validate(
    {
        "adapters": {"one": {"path": "x", "template": "Q {question} A"}, "two": {"path": "y", "languages": ["rust"]}},
        "actions": {"more": {"title": "More", "instruction": "More.", "becomes": "insertion"}},
    },
    "a test",
)
CODE = "def f():\n    return 1\n"
TARGET = Target(CODE, 0, len(CODE) - 1, "python", is_function=True)


@asynccontextmanager
async def ready_engine(*reply: str) -> AsyncIterator[ScriptedEngine]:
    engine = ScriptedEngine([reply], adapters=["one"])
    is_ready, loop = asyncio.Event(), asyncio.get_running_loop()
    engine.subscribe(lambda status: loop.call_soon_threadsafe(is_ready.set) if status.phase is Phase.READY else None)
    engine.start()
    try:
        await is_ready.wait()
        yield engine
    finally:
        engine.close()


async def collect_answers(*reply: str, max_new_tokens: int = 50) -> list[perform_action.Answer]:
    limits = {"actions": {"explain": {"max_new_tokens": max_new_tokens}}}
    async with ready_engine(*reply) as engine:
        prepared = perform_action.prepare_action(
            validate({**SETTINGS.model_dump(), **limits}, "a test"), engine, "explain", TARGET
        )
        return [answer async for answer in perform_action.stream_answer(engine, prepared.prompt)]


def explain(*reply: str, max_new_tokens: int = 50) -> list[perform_action.Answer]:
    return asyncio.run(collect_answers(*reply, max_new_tokens=max_new_tokens))


def test_route_names_the_adapter_and_its_template() -> None:
    loaded, template = ["one", "two"], Settings().model.template
    assert perform_action.find_route(SETTINGS, loaded, "explain", "python") == ActionRoute("one", "Q {question} A")
    assert perform_action.find_route(SETTINGS, loaded, "explain", "rust") == ActionRoute("two", template)


def test_missing_adapter_is_reported_with_the_setting_to_add() -> None:
    assert perform_action.find_route(SETTINGS, [], "explain") is None
    with pytest.raises(ActionUnavailable, match=r"\[adapters.NAME\]"):
        perform_action.require_route(SETTINGS, [], "explain", TARGET)


def test_unknown_or_disabled_action_is_reported_with_the_enabled_ones() -> None:
    with pytest.raises(ActionUnavailable, match="ask, document, explain"):
        perform_action.require_action(SETTINGS, "fly")
    disabled = validate({"actions": {"explain": {"enabled": False}}}, "a test")
    with pytest.raises(ActionUnavailable, match="no action 'explain'"):
        perform_action.require_action(disabled, "explain")


def test_answer_grows_and_has_one_end() -> None:
    answers = explain(" It", " adds", ".")
    assert [answer.text for answer in answers] == ["It", "It adds", "It adds.", "It adds."]
    assert [answer.finish_reason for answer in answers] == [None, None, None, FinishReason.END_OF_TEXT]
    assert not answers[-1].is_cut


def test_answer_at_the_token_limit_is_cut_with_a_note() -> None:
    assert explain(*["a "] * 9, max_new_tokens=5)[-1].note == "The answer is cut after 5 tokens."


def test_repeating_answer_is_cut_with_a_note() -> None:
    last = explain("It is. ", *["And so on. "] * 40)[-1]
    assert last.text == "It is. And so on. "
    assert last.is_cut
    assert "repeat itself" in last.note


def test_list_that_counts_up_ends_the_generation() -> None:
    answers = explain("```python\nassert f([", *[f"{number}, " for number in range(1000)], max_new_tokens=1000)
    assert len(answers) < 150
    assert answers[-1].finish_reason is FinishReason.STOP_RULE
    assert "repeat itself" in answers[-1].note


def test_list_that_counts_up_to_the_token_limit_is_called_a_loop() -> None:
    count = [f"{number}, " for number in range(50)]
    assert "repeat itself" in explain("x = [", *count, max_new_tokens=45)[-1].note
    assert explain("x = [", *count, "]", max_new_tokens=60)[-1].note == ""


def test_empty_answer_is_unusable() -> None:
    with pytest.raises(AnswerUnusable, match="empty"):
        explain(" ", "\n")


def test_insertion_action_adds_code_below_the_target() -> None:
    async def run() -> str:
        async with ready_engine("Sure:\n```python\nassert f() == 1\n```") as engine:
            prepared = perform_action.prepare_action(SETTINGS, engine, "more", TARGET)
            return edits.apply_changes(CODE, await perform_action.compute_changes(engine, prepared))

    assert asyncio.run(run()) == f"{CODE}\n\nassert f() == 1\n"


FRAGMENTS = st.sampled_from(
    [
        *("```", "```python\n", "\n", "\n\n", "def f():\n", "    return 1\n", "        x = 2\n", "\tx\n"),
        *("Question:", "Answer:", '"""', "'''", "# ", "Here is the code:\n", "It does.", "\\", "{", "}"),
        *("\r\n", "\x0c", "\u2028", "é", " ", "class A:"),
    ]
)


@settings(max_examples=150)
@given(st.lists(FRAGMENTS, max_size=12).map("".join), st.booleans(), st.sampled_from(["\n", "\r\n"]))
def test_no_answer_changes_code_outside_the_target_or_breaks_python(answer: str, is_cut: bool, end: str) -> None:
    text = "import os\nclass B:\n    def f(self):\n        return 1\n\n    x = 1\n".replace("\n", end)
    target = find_target(text, text.index("def"), text.index("def"), "python")
    assert target is not None
    text_answer, _ = answer_parsing.extract_answer(strip_hidden_characters(answer), "Question:", "Answer:")
    for compute in (_replacement, _description):
        try:
            changes = compute(text_answer, target, is_cut)
            edits.require_valid_syntax(target, changes)
        except (AnswerUnusable, ActionUnavailable):
            continue
        after = edits.apply_changes(text, changes)
        assert after.startswith(text[: target.start])
        assert after.endswith(text[target.end :])
        assert edits.find_syntax_error(after) is None
        assert after.count("\n") == after.count(end)


def _replacement(answer: str, target: Target, is_cut: bool) -> list[edits.Change]:
    return edits.replace_target(target, answer_parsing.extract_code(answer, target.code, is_cut))


def _description(answer: str, target: Target, is_cut: bool) -> list[edits.Change]:
    description = docstrings.extract_description(answer, target, is_cut)
    return docstrings.build_changes(target, docstrings.find_position(target), description)


TOKEN = "ghp_" + "a1B2" * 9
SECRET = f"def f():\n    token = '{TOKEN}'\n    return token\n"


def simplify_secret(*reply: str) -> tuple[str, str]:
    """The prompt, and SECRET after the changes."""

    async def run() -> tuple[str, str]:
        async with ready_engine(*reply) as engine:
            target = Target(SECRET, 0, len(SECRET) - 1, "python", is_function=True)
            prepared = perform_action.prepare_action(SETTINGS, engine, "simplify", target)
            changes = await perform_action.compute_changes(engine, prepared)
            return "".join(str(part) for part in engine.requests[-1].parts), edits.apply_changes(SECRET, changes)

    return asyncio.run(run())


def test_secret_is_masked_in_the_prompt_and_restored_in_the_code() -> None:
    prompt, text = simplify_secret(secrets.mask_secrets(SECRET).replace("return token", "return token.strip()"))
    assert TOKEN not in prompt
    assert text == SECRET.replace("return token", "return token.strip()")


def test_answer_that_rewrites_a_line_with_a_secret_is_rejected() -> None:
    with pytest.raises(AnswerUnusable, match="a line that holds a secret"):
        simplify_secret(f"def f():\n    return '{'x' * len(TOKEN)}'\n")
