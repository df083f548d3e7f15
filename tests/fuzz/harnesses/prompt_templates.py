"""Prompts of actions, in the templates of the settings, of chat models too.

A template is text around ``{question}`` and is never run (``{{ 7 * 7 }}`` stays); the special tokens of a prompt are
exactly those of its template; user text, with the same characters, stays text. A chat template is rendered without user
text; the harness ``chat_templates`` has those.
"""

from __future__ import annotations

import itertools
from types import SimpleNamespace
from typing import Any, cast

from fuzz.input_bytes import InputReader, decode_text, join_fields, split_fields
from starcoder_ls.actions import Action
from starcoder_ls.context.secrets import mask_secrets
from starcoder_ls.errors import PromptTooLong
from starcoder_ls.generation import Engine, SpecialToken
from starcoder_ls.hidden_characters import strip_hidden_characters
from starcoder_ls.rewrite.instruction_prompt import build_instruction_prompt
from starcoder_ls.rewrite.target import Target
from starcoder_ls.settings import AUTO

MAX_BYTES = 512
CONTEXT_TOKENS = 256
SPECIAL_TOKENS = frozenset(("<fim_prefix>", "<|im_start|>", "<|im_end|>", "<s>", "<|im", "[INST]"))
INSTRUCTIONS = (
    "{instruction}",
    "Explain this {language} code.",
    "{instruction}\n{code}\n{instruction}",
    "{code}{code}",
    "Fix {file}.\n{diagnostics}",
    "{diagnostics} {instruction} <s>",
)

SEEDS = (
    join_fields(b"\0\0", "Question: {question}\n\nAnswer:", "make it faster", "  x = 1\n  y = 2\n"),
    join_fields(
        b"\1\1", "<|im_start|>user\n{question}<|im_end|>\n<|im_start|>assistant\n", "<|im_end|>", "<|im_end|>{code}"
    ),
    join_fields(
        b"\2\2", "<s>[INST] {{ 7 * 7 }} {% for x in y %} {question} [/INST]", "{code} {question}", "a\n\tb\r\nc"
    ),
    join_fields(b"\3\1", "{question}{question}", "\u202e \x00\x01", "\x00\x01 <s>"),
    join_fields(b"\4\0", "<|im<|im_start|>{question}", "é😀", "x" * 300),
    join_fields(b"\5\2", "no question", "", ""),
)


def check(data: bytes) -> None:
    options, raw_template, raw_instruction, raw_code = split_fields(data, 4)
    reader = InputReader(options)
    wording = INSTRUCTIONS[reader.integer(len(INSTRUCTIONS))]
    becomes = ("text", "replacement", "insertion")[reader.integer(3)]
    template, typed, code = decode_text(raw_template), decode_text(raw_instruction), decode_text(raw_code)
    if template == AUTO:
        return  # no template: the format that the checkpoint names
    action = Action.model_validate({"title": "A", "instruction": wording, "becomes": becomes, "max_new_tokens": 64})
    target = Target(code, 0, len(code), "python", "/a/b.py", instruction=typed, diagnostics=(typed,))
    status = SimpleNamespace(context_tokens=CONTEXT_TOKENS, special_tokens=SPECIAL_TOKENS, chat=None)
    engine = SimpleNamespace(status=lambda: status, count_tokens=lambda text: (len(text) + 3) // 4)
    try:
        prompt = build_instruction_prompt(cast(Engine, cast(Any, engine)), action, target, None, template)
    except PromptTooLong:
        return
    parts = prompt.request.parts
    assert all(parts), "an empty part"
    assert not any(isinstance(first, str) and isinstance(second, str) for first, second in itertools.pairwise(parts))
    prefix, _, suffix = template.partition("{question}")
    before, after = find_special_tokens(prefix), find_special_tokens(suffix)
    assert [part.literal for part in parts if isinstance(part, SpecialToken)] == before + after
    whole = "".join(part if isinstance(part, str) else part.literal for part in parts)
    assert whole.startswith(prefix)
    assert whole.endswith(suffix)
    check_question(whole[len(prefix) : len(whole) - len(suffix)], wording, typed, prompt.code)
    shown = sum(len(part) for part in parts if isinstance(part, str))
    assert shown // 4 <= CONTEXT_TOKENS + len(parts)


def check_question(question: str, wording: str, typed: str, code: str) -> None:
    """Hidden characters of the user's words are gone, and every placeholder has its value once."""
    words = strip_hidden_characters(mask_secrets(typed)).strip()
    if words:
        assert question.count(words) >= wording.count("{instruction}")
    if code:
        assert question.count(code) >= max(1, wording.count("{code}"))
    if not any(char in code for char in "\0\1"):
        assert "\0" not in question
        assert "\1" not in question


def find_special_tokens(text: str) -> list[str]:
    """The longest special token at each position, from left to right."""
    found, position = [], 0
    while position < len(text):
        token = max((token for token in SPECIAL_TOKENS if text.startswith(token, position)), key=len, default="")
        found += [token] if token else []
        position += len(token) or 1
    return found
