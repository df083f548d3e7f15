"""The exact prompts of chat-tuned models, as parts: text, and special tokens."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from chat_templates import (
    CHATML,
    CODE_LLAMA,
    LLAMA_TOKENS,
    QWEN_TOKENS,
    STARCODER2,
    STARCODER2_PREAMBLE,
    STARCODER2_TOKENS,
    write_chat_template,
)
from fakes import ScriptedEngine
from starcoder_ls.actions import Action, Becomes
from starcoder_ls.errors import ActionUnavailable
from starcoder_ls.generation import ChatFormat, Phase, SpecialToken
from starcoder_ls.rewrite.instruction_prompt import InstructionPrompt, build_instruction_prompt
from starcoder_ls.rewrite.prompt_form import SYSTEM_MESSAGES
from starcoder_ls.rewrite.target import Target
from starcoder_ls.settings import AUTO, TEMPLATE, Adapter
from starcoder_ls.text_tokens.chat_template import read_chat_format

CODE = "  x = '<|im_end|>'\n  return x"
QUESTION = "Fix this Python code.\n\n```python\nx = '<|im_end|>'\nreturn x\n```"
SYSTEM = SYSTEM_MESSAGES["replacement"]


@pytest.fixture
def engine() -> Iterator[ScriptedEngine]:
    scripted = ScriptedEngine(load_steps=1)
    scripted.set_status(phase=Phase.READY)
    yield scripted
    scripted.close()


def build_prompt(engine: ScriptedEngine, template: str = AUTO, becomes: Becomes = "replacement") -> InstructionPrompt:
    action = Action(title="A", instruction="Fix this {language} code.", becomes=becomes, max_new_tokens=100)
    return build_instruction_prompt(engine, action, Target(CODE, 0, len(CODE), "python"), None, template)


def test_prompt_of_qwen_is_chatml_with_our_system_message(engine: ScriptedEngine, tmp_path: Path) -> None:
    folder = write_chat_template(tmp_path, CHATML, eos_token="<|im_end|>")
    engine.set_status(special_tokens=QWEN_TOKENS, chat=read_chat_format(folder, QWEN_TOKENS))
    request = build_prompt(engine).request
    start, end = SpecialToken("<|im_start|>"), SpecialToken("<|im_end|>")
    assert request.parts == (
        start, f"system\n{SYSTEM}", end, "\n", start, f"user\n{QUESTION}", end, "\n", start, "assistant\n",
    )  # fmt: skip
    assert end in request.end_tokens


def test_prompt_of_starcoder2_has_the_system_message_in_the_question(engine: ScriptedEngine, tmp_path: Path) -> None:
    folder = write_chat_template(tmp_path, STARCODER2, bos_token="<|endoftext|>", eos_token="<|endoftext|>")
    engine.set_status(special_tokens=STARCODER2_TOKENS, chat=read_chat_format(folder, STARCODER2_TOKENS))
    prompt = build_prompt(engine)
    end = SpecialToken("<|endoftext|>")
    assert prompt.request.parts == (
        end,
        f"{STARCODER2_PREAMBLE}### Instruction\n{SYSTEM}\n\n{QUESTION}\n\n### Response\n",
    )
    assert prompt.request.end_tokens == (end,)
    assert (prompt.question_prefix, prompt.question_suffix) == ("### Instruction", "### Response")


def test_prompt_of_code_llama_is_one_instruction_with_the_system_message(
    engine: ScriptedEngine, tmp_path: Path
) -> None:
    folder = write_chat_template(tmp_path, CODE_LLAMA, bos_token="<s>", eos_token="</s>")
    engine.set_status(special_tokens=LLAMA_TOKENS, chat=read_chat_format(folder, LLAMA_TOKENS))
    request = build_prompt(engine).request
    text = f"[INST] <<SYS>>\n{SYSTEM}\n<</SYS>>\n\n{QUESTION} [/INST]"
    assert request.parts == (SpecialToken("<s>"), text)
    assert request.end_tokens == (SpecialToken("<s>"), SpecialToken("</s>"))


def test_auto_is_the_question_form_for_a_model_without_a_chat_template(engine: ScriptedEngine) -> None:
    plain = build_prompt(engine, TEMPLATE).request.parts
    assert build_prompt(engine).request.parts == plain
    assert plain == ("Question: Fix this Python code.\nx = '<|im_end|>'\nreturn x\n\nAnswer:",)


def test_template_of_the_settings_comes_before_the_chat_template(engine: ScriptedEngine) -> None:
    engine.set_status(chat=ChatFormat(before_question="A", after_question="B"))
    assert str(build_prompt(engine, "Q {question} A").request.parts[0]).startswith("Q Fix")


def test_unusable_chat_template_is_refused_and_names_the_setting(engine: ScriptedEngine) -> None:
    engine.set_status(chat=ChatFormat(problem="needs too much memory"))
    with pytest.raises(ActionUnavailable, match=r"chat template of this model needs too much memory\. Set `template`"):
        build_prompt(engine)


@pytest.mark.parametrize("becomes", ["text", "docstring", "insertion"])
def test_each_kind_of_answer_has_a_system_message(engine: ScriptedEngine, becomes: Becomes) -> None:
    engine.set_status(chat=ChatFormat(before_system="", before_question="\n", after_question="\n"))
    assert str(build_prompt(engine, becomes=becomes).request.parts[0]).startswith(SYSTEM_MESSAGES[becomes])


@pytest.mark.parametrize(
    ("path", "template", "used"),
    [
        ("bigcode/astraios-7b-parallel", AUTO, TEMPLATE),
        ("/models/Astraios-1b", AUTO, TEMPLATE),
        ("bundled", AUTO, TEMPLATE),
        ("me/explain-lora", AUTO, AUTO),
        ("bigcode/astraios-7b-lora", "Q {question}", "Q {question}"),
    ],
)
def test_auto_of_an_adapter_is_the_question_form_for_astraios(path: str, template: str, used: str) -> None:
    assert Adapter(path=path, template=template).prompt_template == used
