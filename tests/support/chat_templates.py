"""Chat templates that write the prompts of published chat-tuned models, in words of our own.

Sources of the formats: the chat templates in tokenizer_config.json of Qwen2.5-Coder-Instruct (ChatML with a default
system message), StarCoder2-15B-Instruct (no system message; the response ends with <|endoftext|>) and Code Llama
Instruct ([INST] <<SYS>>, as in the generation.py of its repository).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

CHATML = """{%- if messages[0].role != 'system' %}
    {{- '<|im_start|>system\\nYou are Qwen, created by Alibaba Cloud. You are a helpful assistant.<|im_end|>\\n' }}
{%- endif %}
{%- for message in messages %}
    {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
{%- endif %}
"""

STARCODER2_PREAMBLE = (
    "You are an exceptionally intelligent coding assistant that consistently delivers accurate and reliable responses "
    "to user instructions.\n\n"
)
STARCODER2 = (
    "{{ bos_token }}{{ '" + STARCODER2_PREAMBLE.replace("\n", "\\n") + "' }}\n"
    "{%- for message in messages %}\n"
    "    {%- if message['role'] == 'system' %}\n"
    "        {{- raise_exception('System messages are not allowed in this template.') }}\n"
    "    {%- elif message['role'] == 'user' %}\n"
    "        {{- '### Instruction\\n' + message['content'] + '\\n\\n' }}\n"
    "    {%- else %}\n"
    "        {{- '### Response\\n' + message['content'] + eos_token + '\\n\\n' }}\n"
    "    {%- endif %}\n"
    "{%- endfor %}\n"
    "{{- '### Response\\n' if add_generation_prompt }}"
)

CODE_LLAMA = """{% set system = namespace(text='') %}
{% for message in messages %}
{% if message['role'] == 'system' %}
{% set system.text = '<<SYS>>\\n' + message['content'] + '\\n<</SYS>>\\n\\n' %}
{% elif message['role'] == 'user' %}
{{- bos_token + '[INST] ' + (system.text + message['content']).strip() + ' [/INST]' }}
{%- set system.text = '' %}
{% else %}
{{- ' ' + message['content'].strip() + ' ' + eos_token }}
{%- endif %}
{% endfor %}
"""

QWEN_TOKENS = frozenset(("<|im_start|>", "<|im_end|>", "<|endoftext|>"))
STARCODER2_TOKENS = frozenset(("<|endoftext|>", "<fim_prefix>", "<file_sep>"))
LLAMA_TOKENS = frozenset(("<s>", "</s>", "<unk>"))


def write_chat_template(folder: Path, template: object, as_file: bool = False, **tokens: Any) -> Path:
    """Write ``template`` and the special tokens as a checkpoint's files, and return ``folder``."""
    config: dict[str, Any] = dict(tokens)
    if as_file:
        (folder / "chat_template.jinja").write_text(str(template), encoding="utf-8")
    else:
        config["chat_template"] = template
    (folder / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    return folder
