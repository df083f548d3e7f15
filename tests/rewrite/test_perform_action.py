from __future__ import annotations

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fakes import ScriptedEngine
from starcoder_ls.context import secrets
from starcoder_ls.errors import ActionUnavailable, AnswerUnusable
from starcoder_ls.generation import FinishReason
from starcoder_ls.rewrite import answer_parsing, docstrings, edits, perform_action
from starcoder_ls.rewrite.hidden_characters import cleaned
from starcoder_ls.rewrite.target import Target, selected
from starcoder_ls.settings import Settings, check

SETTINGS = check(
    {
        "adapters": {"one": {"path": "x", "template": "Q {question} A"}, "two": {"path": "y", "languages": ["rust"]}},
        "actions": {"more": {"title": "More", "instruction": "More.", "becomes": "insertion"}},
    },
    "a test",
)
CODE = "def f():\n    return 1\n"
TARGET = Target(CODE, 0, len(CODE) - 1, "python", is_function=True)


def test_who_does_an_action_is_asked_in_its_own_way() -> None:
    assert perform_action.doer(SETTINGS, ["one", "two"], "explain", "python") == perform_action.Doer(
        "one", "Q {question} A"
    )
    assert perform_action.doer(SETTINGS, ["one", "two"], "explain", "rust") == perform_action.Doer(
        "two", Settings().model.template
    )
    assert perform_action.doer(SETTINGS, [], "explain") is None
    with pytest.raises(ActionUnavailable, match=r"\[adapters.NAME\]"):
        perform_action.require_doer(SETTINGS, [], "explain", TARGET)


def test_an_action_that_is_not_there_or_is_off_is_named_with_those_there_are() -> None:
    with pytest.raises(ActionUnavailable, match="ask, document, explain"):
        perform_action.require_action(SETTINGS, "fly")
    off = check({"actions": {"explain": {"enabled": False}}}, "a test")
    with pytest.raises(ActionUnavailable, match="no action 'explain'"):
        perform_action.require_action(off, "explain")


def spoken(*reply: str, max_new_tokens: int = 50) -> list[perform_action.Answer]:
    tree = {**SETTINGS.model_dump(), "actions": {"explain": {"max_new_tokens": max_new_tokens}}}

    async def collect() -> list[perform_action.Answer]:
        engine = ScriptedEngine([reply], adapters=["one"])
        engine.start()
        try:
            while engine.status().phase != "ready":  # noqa: ASYNC110
                await asyncio.sleep(0.001)
            prepared = perform_action.prepared(check(tree, "a test"), engine, "explain", TARGET)
            return [answer async for answer in perform_action.spoken(engine, prepared.asked)]
        finally:
            engine.close()

    return asyncio.run(collect())


def test_an_answer_grows_and_ends_once() -> None:
    answers = spoken(" It", " adds", ".")
    assert [answer.said for answer in answers] == ["It", "It adds", "It adds.", "It adds."]
    assert [answer.finish_reason for answer in answers] == [None, None, None, FinishReason.END_OF_TEXT]
    assert not answers[-1].is_cut


def test_a_cut_answer_and_one_in_circles_say_so() -> None:
    assert spoken(*["a "] * 9, max_new_tokens=5)[-1].note == "The answer is cut after 5 tokens."
    last = spoken("It is. ", *["And so on. "] * 40)[-1]
    assert last.said == "It is. And so on. "
    assert last.is_cut
    assert "repeat itself" in last.note


def test_an_empty_answer_is_no_answer() -> None:
    with pytest.raises(AnswerUnusable):
        spoken(" ", "\n")


def test_an_action_of_ones_own_inserts_below() -> None:
    async def run() -> str:
        engine = ScriptedEngine([["Sure:\n```python\nassert f() == 1\n```"]], adapters=["one"])
        engine.start()
        try:
            while engine.status().phase != "ready":  # noqa: ASYNC110
                await asyncio.sleep(0.001)
            prepared = perform_action.prepared(SETTINGS, engine, "more", TARGET)
            return edits.applied(CODE, await perform_action.changes(engine, prepared))
        finally:
            engine.close()

    assert asyncio.run(run()) == f"{CODE}\n\nassert f() == 1\n"


PIECES = st.sampled_from(
    [
        *(
            "```",
            "```python\n",
            "\n",
            "\n\n",
            "def f():\n",
            "    return 1\n",
            "        x = 2\n",
            "\tx\n",
            "Question:",
            "Answer:",
        ),
        *(
            '"""',
            "'''",
            "# ",
            "Here is the code:\n",
            "It does.",
            "\\",
            "{",
            "}",
            "\r\n",
            "\x0c",
            "\u2028",
            "é",
            " ",
            "class A:",
        ),
    ]
)


@settings(max_examples=400)
@given(st.lists(PIECES, max_size=12).map("".join), st.booleans(), st.sampled_from(["\n", "\r\n"]))
def test_no_answer_touches_anything_outside_or_breaks_python(answer: str, is_cut: bool, end: str) -> None:
    text = "import os\nclass B:\n    def f(self):\n        return 1\n\n    x = 1\n".replace("\n", end)
    target = selected(text, text.index("def"), text.index("def"), "python")
    assert target is not None
    said, _ = answer_parsing.body(cleaned(answer), "Question:", "Answer:")
    for change in (_replaced, _described):
        try:
            changes = change(said, target, is_cut)
            edits.require_syntax(target, changes)
        except (AnswerUnusable, ActionUnavailable):
            continue
        after = edits.applied(text, changes)
        assert after.startswith(text[: target.start])
        assert after.endswith(text[target.end :])
        assert edits.syntax_error(after) is None
        assert after.count("\n") == after.count(end)


def _replaced(said: str, target: Target, is_cut: bool) -> list[edits.Change]:
    return edits.replaced(target, answer_parsing.code_in(said, target.code, is_cut))


def _described(said: str, target: Target, is_cut: bool) -> list[edits.Change]:
    return docstrings.written(target, docstrings.place(target), docstrings.description_in(said, target, is_cut))


TOKEN = "ghp_" + "a1B2" * 9
SECRET = f"def f():\n    token = '{TOKEN}'\n    return token\n"


def changed(*reply: str) -> tuple[str, str]:
    """The prompt, and SECRET after the changes."""

    async def collect() -> tuple[str, str]:
        engine = ScriptedEngine([reply], adapters=["one"])
        engine.start()
        try:
            while engine.status().phase != "ready":  # noqa: ASYNC110
                await asyncio.sleep(0.001)
            target = Target(SECRET, 0, len(SECRET) - 1, "python", is_function=True)
            found = await perform_action.changes(engine, perform_action.prepared(SETTINGS, engine, "simplify", target))
            text = SECRET
            for change in reversed(found):
                text = text[: change.start] + change.text + text[change.end :]
            return "".join(str(part) for part in engine.requests[-1].parts), text
        finally:
            engine.close()

    return asyncio.run(collect())


def test_a_secret_is_not_shown_to_the_model_and_stays_in_the_code() -> None:
    prompt, text = changed(secrets.masked(SECRET).replace("return token", "return token.strip()"))
    assert TOKEN not in prompt
    assert text == SECRET.replace("return token", "return token.strip()")


def test_an_answer_that_rewrites_a_secrets_line_is_refused() -> None:
    with pytest.raises(AnswerUnusable, match="a line that holds a secret"):
        changed(f"def f():\n    return '{'x' * len(TOKEN)}'\n")
