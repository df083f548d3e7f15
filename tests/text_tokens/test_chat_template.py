from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

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
from starcoder_ls.generation import ChatFormat
from starcoder_ls.text_tokens import chat_template
from starcoder_ls.text_tokens.chat_template import MAX_TEMPLATE_BYTES, read_chat_format

needs_limits = pytest.mark.skipif(sys.platform != "linux", reason="limits of a process, as Linux has them")

QWEN = ChatFormat(
    before_system="<|im_start|>system\n",
    before_question="<|im_end|>\n<|im_start|>user\n",
    after_question="<|im_end|>\n<|im_start|>assistant\n",
    end_tokens=("<|im_end|>", "<|im_start|>"),
)


def test_chatml_of_qwen_takes_the_system_message_and_ends_at_its_token(tmp_path: Path) -> None:
    folder = write_chat_template(tmp_path, CHATML, eos_token="<|im_end|>", bos_token=None)
    assert read_chat_format(folder, QWEN_TOKENS) == QWEN


def test_starcoder2_instruct_takes_no_system_message(tmp_path: Path) -> None:
    folder = write_chat_template(tmp_path, STARCODER2, bos_token="<|endoftext|>", eos_token="<|endoftext|>")
    assert read_chat_format(folder, STARCODER2_TOKENS) == ChatFormat(
        before_system=None,
        before_question=f"<|endoftext|>{STARCODER2_PREAMBLE}### Instruction\n",
        after_question="\n\n### Response\n",
        end_tokens=("<|endoftext|>",),
        next_question="### Instruction",
    )


def test_code_llama_puts_the_system_message_into_the_first_turn(tmp_path: Path) -> None:
    tokens: dict[str, Any] = {"bos_token": {"content": "<s>", "lstrip": False}, "eos_token": {"content": "</s>"}}
    assert read_chat_format(write_chat_template(tmp_path, CODE_LLAMA, **tokens), LLAMA_TOKENS) == ChatFormat(
        before_system="<s>[INST] <<SYS>>\n",
        before_question="\n<</SYS>>\n\n",
        after_question=" [/INST]",
        end_tokens=("</s>", "<s>"),
        next_question="[INST]",
    )


def test_template_file_comes_before_the_one_in_the_tokenizer_config(tmp_path: Path) -> None:
    write_chat_template(tmp_path, "{{ messages[0].content }} other")
    write_chat_template(tmp_path, CHATML, as_file=True)
    assert read_chat_format(tmp_path, QWEN_TOKENS) == QWEN


def test_default_template_of_several_named_ones_is_used(tmp_path: Path) -> None:
    named = [{"name": "tool_use", "template": "{{ tools }}"}, {"name": "default", "template": CHATML}, 3]
    assert read_chat_format(write_chat_template(tmp_path, named), QWEN_TOKENS) == QWEN


@pytest.mark.parametrize("template", [None, "", "  \n", 3, [], {"a": 1}])
def test_checkpoint_without_a_template_has_no_chat_format(tmp_path: Path, template: object) -> None:
    assert read_chat_format(write_chat_template(tmp_path, template), QWEN_TOKENS) is None


def test_folder_without_tokenizer_config_has_no_chat_format(tmp_path: Path) -> None:
    assert read_chat_format(tmp_path, QWEN_TOKENS) is None


def test_template_that_leaves_the_system_message_out_has_no_system_role(tmp_path: Path) -> None:
    template = "{% for m in messages if m.role == 'user' %}Q: {{ m.content }}\nA:{% endfor %}"
    chat = read_chat_format(write_chat_template(tmp_path, template), QWEN_TOKENS)
    assert chat is not None
    assert (chat.before_system, chat.before_question, chat.after_question) == (None, "Q: ", "\nA:")


@pytest.mark.parametrize(
    ("template", "problem"),
    [
        ("no message", "the user's message exactly once"),
        ("{{ messages[-1].content * 2 }}", "the user's message exactly once"),
        ("{{ messages[-1].content }}{{ messages[0].content }}", "the system message exactly once"),
        ("{{ raise_exception('\x1b[31m') }}", r"\x1b"),
    ],
)
def test_template_that_writes_no_usable_prompt_is_a_problem(tmp_path: Path, template: str, problem: str) -> None:
    chat = read_chat_format(write_chat_template(tmp_path, template), QWEN_TOKENS)
    assert chat is not None
    assert chat == ChatFormat(problem=chat.problem)
    assert problem in chat.problem


@needs_limits
@pytest.mark.parametrize(
    "template",
    [
        "{{ 10 ** (10 ** 10) }}",
        "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
        "{{ 'x' | center(10 ** 12) }}",
    ],
)
def test_template_that_would_hang_or_exhaust_memory_is_ended(
    tmp_path: Path, template: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chat_template, "CPU_LIMIT_S", 1)
    chat = read_chat_format(write_chat_template(tmp_path, template), QWEN_TOKENS)
    assert chat is not None
    assert "memory" in chat.problem


@pytest.mark.parametrize("as_file", [True, False])
def test_template_beyond_the_limit_is_not_rendered(tmp_path: Path, as_file: bool) -> None:
    chat = read_chat_format(write_chat_template(tmp_path, "x" * (MAX_TEMPLATE_BYTES + 1), as_file), QWEN_TOKENS)
    assert chat is not None
    assert "are the limit" in chat.problem


def test_unreadable_tokenizer_config_is_a_problem(tmp_path: Path) -> None:
    for content in (b"{", b"\xff\xfe", b"[" * 100_000):
        (tmp_path / "tokenizer_config.json").write_bytes(content)
        chat = read_chat_format(tmp_path, QWEN_TOKENS)
        assert chat is not None
        assert chat.problem.startswith("cannot be read")


def test_modules_of_the_working_folder_are_not_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "jinja2.py").write_text("raise SystemExit(9)")
    monkeypatch.chdir(tmp_path)
    assert read_chat_format(write_chat_template(tmp_path, CHATML), QWEN_TOKENS) == QWEN
