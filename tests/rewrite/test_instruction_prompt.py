from __future__ import annotations

from typing import Any

import pytest

from fakes import ScriptedEngine
from starcoder_ls.actions import Action
from starcoder_ls.errors import PromptTooLong
from starcoder_ls.generation import SpecialToken
from starcoder_ls.rewrite.instruction_prompt import Asked, ask
from starcoder_ls.rewrite.target import Target
from starcoder_ls.settings import TEMPLATE


@pytest.fixture
def engine() -> Any:
    made = ScriptedEngine(load_steps=1)
    made.start()
    while made.status().phase != "ready":
        pass
    yield made
    made.close()


def asked(engine: ScriptedEngine, words: str, template: str = TEMPLATE, **target: Any) -> Asked:
    action = Action(title="A", instruction=words, becomes="text", max_new_tokens=100)
    text = target.pop("text", "  x = 1\n    y = 2")
    return ask(engine, action, Target(text, 0, len(text), **target), "name", template)


@pytest.mark.parametrize(
    ("instruction", "target", "question"),
    [
        ("Explain this {language} code.", {"language": "cpp"}, "Explain this C++ code.\nx = 1\n  y = 2"),
        ("Explain this {language} code.", {}, "Explain this code.\nx = 1\n  y = 2"),
        ("Explain this {language} code.", {"language": "zig"}, "Explain this zig code.\nx = 1\n  y = 2"),
        ("Fix it.\n{diagnostics}", {}, "Fix it.\nx = 1\n  y = 2"),
        ("Fix it.\n{diagnostics}", {"diagnostics": ("a", "b")}, "Fix it.\na\nb\nx = 1\n  y = 2"),
        ("In {file}: {code}\nWhy {}?", {"path": "/a/b.py"}, "In b.py: x = 1\n  y = 2\nWhy {}?"),
        ("{instruction}", {"instruction": "{code} {file} \x01"}, "{code} {file}\nx = 1\n  y = 2"),
        ("{instruction}", {"instruction": "Hi.", "text": ""}, "Hi."),
    ],
)
def test_placeholders_are_filled_once_and_the_code_follows_without_its_margin(
    engine: ScriptedEngine, instruction: str, target: dict[str, Any], question: str
) -> None:
    assert asked(engine, instruction, **target).request.parts == (f"Question: {question}\n\nAnswer:",)


def test_special_tokens_of_a_template_are_tokens_and_end_the_answer(engine: ScriptedEngine) -> None:
    made = asked(engine, "Explain.", "<fim_prefix>user\n{question}<fim_suffix>", text="<fim_prefix>")
    prefix, suffix = SpecialToken("<fim_prefix>"), SpecialToken("<fim_suffix>")
    assert made.request.parts == (prefix, "user\nExplain.\n<fim_prefix>", suffix)
    assert set(made.request.end_tokens) == {prefix, suffix}


@pytest.mark.parametrize("rows", [2_000, 200_000])
def test_long_code_to_read_is_cut_at_a_line_and_the_note_says_so(engine: ScriptedEngine, rows: int) -> None:
    made = asked(engine, "Explain.", text="x = 1\n" * rows)
    kept = made.code.count("\n") + 1
    if rows == 2_000:
        assert (kept, made.note) == (rows, "")
    else:
        assert 0 < kept < rows
        assert made.note == f"Only the first {kept} of {rows} lines were read: the rest does not fit."
        (prompt,) = made.request.parts
        assert 8192 - 130 <= engine.count_tokens(str(prompt)) + made.request.max_new_tokens <= 8192


def test_one_line_longer_than_the_context_is_refused(engine: ScriptedEngine) -> None:
    with pytest.raises(PromptTooLong, match="max_new_tokens"):
        asked(engine, "Explain.", text="x" * 100_000)
