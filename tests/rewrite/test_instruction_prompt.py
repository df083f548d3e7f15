from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from fakes import ScriptedEngine
from starcoder_ls.actions import Action
from starcoder_ls.errors import PromptTooLong
from starcoder_ls.generation import Phase, SpecialToken
from starcoder_ls.rewrite.instruction_prompt import InstructionPrompt, build_instruction_prompt
from starcoder_ls.rewrite.target import Target
from starcoder_ls.settings import TEMPLATE


@pytest.fixture
def engine() -> Iterator[ScriptedEngine]:
    scripted = ScriptedEngine(load_steps=1)
    scripted.set_status(phase=Phase.READY)  # it counts tokens without its thread
    yield scripted
    scripted.close()


def build_prompt(engine: ScriptedEngine, wording: str, template: str = TEMPLATE, **target: Any) -> InstructionPrompt:
    action = Action(title="A", instruction=wording, becomes="text", max_new_tokens=100)
    text = target.pop("text", "  x = 1\n    y = 2")
    return build_instruction_prompt(engine, action, Target(text, 0, len(text), **target), "name", template)


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
        ("{code}\nor\n{code}", {"text": "a{code}"}, "a{code}\nor\na{code}"),
        ("{language}: {code}", {"language": "a\1b", "text": "c"}, "ab: c"),
    ],
)
def test_placeholders_are_filled_once_and_the_code_is_dedented(
    engine: ScriptedEngine, instruction: str, target: dict[str, Any], question: str
) -> None:
    assert build_prompt(engine, instruction, **target).request.parts == (f"Question: {question}\n\nAnswer:",)


def test_secrets_in_instruction_and_diagnostics_are_masked(engine: ScriptedEngine) -> None:
    token = "gh" + "p_" + "aB3" * 12
    prompt = build_prompt(
        engine, "{instruction} {diagnostics}", instruction=f"use {token}", diagnostics=(f"bad {token}",)
    )
    assert "aB3aB3" not in str(prompt.request.parts)
    assert str(prompt.request.parts).count("xxxxxxxx") >= 2


def test_special_tokens_of_the_template_are_tokens_and_end_the_answer(engine: ScriptedEngine) -> None:
    prompt = build_prompt(engine, "Explain.", "<fim_prefix>user\n{question}<fim_suffix>", text="<fim_prefix>")
    prefix, suffix = SpecialToken("<fim_prefix>"), SpecialToken("<fim_suffix>")
    assert prompt.request.parts == (prefix, "user\nExplain.\n<fim_prefix>", suffix)
    assert set(prompt.request.end_tokens) == {prefix, suffix}


@pytest.mark.parametrize("lines", [2_000, 200_000])
def test_code_to_explain_is_cut_at_a_line_end_and_the_note_says_so(engine: ScriptedEngine, lines: int) -> None:
    prompt = build_prompt(engine, "Explain.", text="x = 1\n" * lines)
    shown_lines = prompt.code.count("\n") + 1
    if lines == 2_000:
        assert (shown_lines, prompt.note) == (lines, "")
    else:
        assert 0 < shown_lines < lines
        assert prompt.note == f"Only the first {shown_lines} of {lines} lines were read: the rest does not fit."
        (text,) = prompt.request.parts
        assert 8192 - 130 <= engine.count_tokens(str(text)) + prompt.request.max_new_tokens <= 8192


def test_line_longer_than_the_context_is_rejected(engine: ScriptedEngine) -> None:
    with pytest.raises(PromptTooLong, match="max_new_tokens"):
        build_prompt(engine, "Explain.", text="x" * 100_000)
