"""Reads the chat template of a checkpoint: the texts that it writes around a system message and a question.

The template is rendered once, around marked messages, by a child process with limits (``chat_template_child``). No text
of a user ever goes through it, so that code which looks like a special token or like Jinja stays text.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Collection
from pathlib import Path
from typing import Any

from starcoder_ls.generation import ChatFormat
from starcoder_ls.printable import escape_control_characters

TEMPLATE_FILE, CONFIG_FILE = "chat_template.jinja", "tokenizer_config.json"
MAX_TEMPLATE_BYTES, MAX_CONFIG_BYTES = 1 << 17, 1 << 21
"""The longest published template has 20 KB, the largest tokenizer_config.json 0.2 MB."""

CPU_LIMIT_S = 3
"""Processor time of the child; published templates need 0.1 s, nearly all of it for the start of Python."""

TIME_LIMIT_S = 60.0
"""For a machine too busy to run the child, and for systems without limits on processor time."""

MESSAGES = {
    "system": "MarkedSystem7Q",
    "question": "MarkedUser7Q",
    "answer": "MarkedAnswer7Q",
    "next_question": "MarkedNext7Q",
}
"""The texts of the rendered messages. Templates that trim or split a message leave them as they are."""

_CHILD = Path(__file__).with_name("chat_template_child.py")
_DEFAULT_NAME = "default"
_VARIABLE = re.compile(r"[a-z]+_token")


def read_chat_format(folder: Path, special_tokens: Collection[str]) -> ChatFormat | None:
    """The chat format of the checkpoint in ``folder``; None if it has no chat template.

    It never raises: a template that cannot be used is a format with a ``problem``.
    """
    try:
        template, variables = _read_files(folder)
    except (OSError, ValueError, RecursionError) as error:
        return ChatFormat(problem=f"cannot be read ({escape_control_characters(f'{error!s:.200}')})")
    if template is None:
        return None
    rendered = _render(template, variables)
    if "problem" in rendered:
        return ChatFormat(problem=escape_control_characters(str(rendered["problem"])))
    return split_rendered(rendered["prompt"], rendered["conversation"], bool(rendered["has_system"]), special_tokens)


def _read_files(folder: Path) -> tuple[str | None, dict[str, str]]:
    """The template, which may stand in a file of its own, and the special tokens by the names that templates use.

    Raises OSError, ValueError or RecursionError.
    """
    declared: dict[str, Any] = {}
    if (folder / CONFIG_FILE).is_file():
        loaded = json.loads(_read_text(folder / CONFIG_FILE, MAX_CONFIG_BYTES))
        declared = loaded if isinstance(loaded, dict) else {}
    template = declared.get("chat_template")
    if isinstance(template, list):  # several templates by name, for tools for instance
        named = {entry.get("name"): entry.get("template") for entry in template if isinstance(entry, dict)}
        template = named.get(_DEFAULT_NAME)
    if (folder / TEMPLATE_FILE).is_file():
        template = _read_text(folder / TEMPLATE_FILE, MAX_TEMPLATE_BYTES)
    if isinstance(template, str) and len(template) > MAX_TEMPLATE_BYTES:
        raise ValueError(f"it has {len(template):,} characters, and {MAX_TEMPLATE_BYTES:,} are the limit")
    return template if isinstance(template, str) and template.strip() else None, _special_token_variables(declared)


def _special_token_variables(declared: dict[str, Any]) -> dict[str, str]:
    """``bos_token`` and the like: strings, or objects whose ``content`` is the string."""
    variables = {}
    for name, value in declared.items():
        text = value.get("content") if isinstance(value, dict) else value
        if _VARIABLE.fullmatch(name) and isinstance(text, str):
            variables[name] = text
    return variables


def _read_text(file: Path, max_bytes: int) -> str:
    """Raises OSError, or ValueError if the file is too large or not UTF-8."""
    size = file.stat().st_size
    if size > max_bytes:
        raise ValueError(f"{file.name} has {size:,} bytes, and {max_bytes:,} are the limit")
    return file.read_text(encoding="utf-8")


def _render(template: str, variables: dict[str, str]) -> dict[str, Any]:
    """What the child returns, or a dictionary with the ``problem``."""
    # -P: the folder from which an editor starts the server must not provide modules.
    command = [sys.executable, "-P", str(_CHILD)]
    request = {"template": template, "variables": variables, "messages": MESSAGES, "cpu_limit_s": CPU_LIMIT_S}
    try:
        done = subprocess.run(
            command, input=json.dumps(request).encode(), capture_output=True, timeout=TIME_LIMIT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return {"problem": "could not be rendered in a process of its own"}
    if done.returncode != 0:
        return {"problem": f"needs more than {CPU_LIMIT_S} s of processor time or too much memory"}
    try:
        rendered = json.loads(done.stdout)
    except ValueError:
        rendered = None
    return rendered if isinstance(rendered, dict) else {"problem": "was rendered to something that is no text"}


def split_rendered(prompt: str, conversation: str, has_system: bool, special_tokens: Collection[str]) -> ChatFormat:
    """The texts around the marked messages of a rendered prompt and conversation."""
    before, _, after_question = prompt.partition(MESSAGES["question"])
    before_system, _, before_question = before.partition(MESSAGES["system"]) if has_system else ("", "", before)
    if prompt.count(MESSAGES["question"]) != 1:
        return ChatFormat(problem="does not write the user's message exactly once")
    if has_system and before.count(MESSAGES["system"]) != 1:
        return ChatFormat(problem="does not write the system message exactly once and before the user's")
    separator = conversation.partition(MESSAGES["answer"])[2].partition(MESSAGES["next_question"])[0]
    pieces = _split_at_tokens(separator, special_tokens)
    end_tokens = [piece for piece in pieces if piece in special_tokens]
    end_tokens += [piece for piece in _split_at_tokens(prompt, special_tokens) if piece in special_tokens]
    return ChatFormat(
        before_system=before_system if has_system else None,
        before_question=before_question,
        after_question=after_question,
        end_tokens=tuple(dict.fromkeys(end_tokens)),
        next_question=_find_marker(pieces, special_tokens),
    )


def _find_marker(pieces: list[str], special_tokens: Collection[str]) -> str:
    """The plain text, such as ``### Instruction``, that begins the user's next message; "" for a mere word.

    A word such as the ``user`` after a special token can begin a line of any answer.
    """
    texts = [piece.strip() for piece in pieces if piece not in special_tokens and piece.strip()]
    return texts[-1] if texts and not texts[-1].isalnum() else ""


def _split_at_tokens(text: str, special_tokens: Collection[str]) -> list[str]:
    if not special_tokens:
        return [text]
    literals = "|".join(re.escape(literal) for literal in sorted(special_tokens, key=len, reverse=True))
    return [piece for piece in re.split(f"({literals})", text) if piece]
