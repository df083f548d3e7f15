"""Chat templates of checkpoints, which are programs of strangers: each renders to a prompt or to a problem.

What is rendered is within its limit and has each message where the chat format says. Limits on processor time and
memory are those of a child process and tested with the module; templates that could need them are left out here.
"""

from __future__ import annotations

import re

from chat_templates import CHATML, CODE_LLAMA, QWEN_TOKENS, STARCODER2
from fuzz.input_bytes import decode_text, join_fields, split_fields
from starcoder_ls.text_tokens.chat_template import MESSAGES, split_rendered
from starcoder_ls.text_tokens.chat_template_child import MAX_PROMPT_CHARS, render

MAX_BYTES = 1024
_UNBOUNDED = re.compile(
    r"\*|%|\bfor\b|\d{4}|center|ljust|rjust|zfill|format|indent|wordwrap|replace|lipsum|range|macro|call|join|batch|slice"
)

SEEDS = (
    join_fields(CHATML, "<|im_end|>"),
    join_fields(STARCODER2, "<|endoftext|>"),
    join_fields(CODE_LLAMA, "<s>"),
    join_fields("{{ messages[0].content }}{{ messages[1].content | upper }}", ""),
    join_fields("{{ messages[-1]['content'] }}{{ bos_token }}{{ x.y }}", "{{ 7 }}"),
    join_fields("{{ ''.__class__ }}{{ messages.pop() }}", ""),
    join_fields("{{ raise_exception('no') }}", ""),
)


def check(data: bytes) -> None:
    raw_template, raw_token = split_fields(data, 2)
    template, token = decode_text(raw_template), decode_text(raw_token)
    if template not in (CHATML, STARCODER2, CODE_LLAMA) and _UNBOUNDED.search(template):
        return
    rendered = render(template, {"bos_token": token, "eos_token": token}, MESSAGES)
    if "problem" in rendered:
        assert rendered["problem"]
        return
    prompt = rendered["prompt"]
    assert len(prompt) <= MAX_PROMPT_CHARS
    chat = split_rendered(prompt, rendered["conversation"], rendered["has_system"], QWEN_TOKENS)
    if chat.problem:
        return
    system = "" if chat.before_system is None else chat.before_system + MESSAGES["system"]
    assert system + chat.before_question + MESSAGES["question"] + chat.after_question == prompt
    assert set(chat.end_tokens) <= QWEN_TOKENS
    assert chat.next_question == chat.next_question.strip()
