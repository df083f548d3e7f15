"""Prompts with which a base model does an action without an adapter, in a format of ``edit_formats``.

Decides how the subject is worded, and which part of the code begins the answer.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from starcoder_ls.actions import Action
from starcoder_ls.context import secrets
from starcoder_ls.edit_formats import EditFormat, adapt_to_tokens, build_edit_parts, closing_text, find_edit_format
from starcoder_ls.errors import ActionUnavailable, PromptTooLong
from starcoder_ls.generation import Engine, Priority, Request, Sampling, Status
from starcoder_ls.hidden_characters import strip_hidden_characters
from starcoder_ls.rewrite import text_lines
from starcoder_ls.rewrite.docstrings import DocstringPosition
from starcoder_ls.rewrite.instruction_prompt import InstructionPrompt
from starcoder_ls.rewrite.target import Target
from starcoder_ls.settings import Settings

BASE_ACTIONS = ("fix", "rewrite", "simplify", "document")

_MAX_SUBJECT_CHARS = 120
_RESERVED_TOKENS = 48
_HEADER = re.compile(r"(?:(?:export|default|pub|async|public|private|static) )*(?:def|class|func|fn|function)\b[^\n]*")
_NAME = re.compile(r"(?:def|class|func|fn|function)\s+(?:\([^)]*\)\s*)?(\w+)")
_QUOTES = '"""'


def find_base_format(settings: Settings, name: str, status: Status) -> EditFormat | None:
    """How the model of ``status`` does the action ``name`` without an adapter; None if it cannot."""
    return find_edit_format(settings, status) if name in BASE_ACTIONS else None


@dataclass(frozen=True, slots=True)
class _Answer:
    """``start`` is given to the model as the beginning of the answer; ``closing`` ends it."""

    start: str
    closing: str = ""


def build_base_prompt(
    engine: Engine,
    action: Action,
    name: str,
    target: Target,
    base_format: EditFormat,
    position: DocstringPosition | None = None,
    adapter: str | None = None,
) -> InstructionPrompt:
    """The prompt of the action ``name`` in the format of commits or issues, for an adapter or the base alone.

    ``position`` is where a docstring goes. Raises PromptTooLong if the code or the answer does not fit, and
    ActionUnavailable for doc comments, which stand before the code and not in it.
    """
    lines = text_lines.dedent([line.rstrip("\r\n") for line in text_lines.split_lines(target.masked_code)])
    code = "\n".join(lines)
    answer = _begin_answer(name, code, target, position)
    subject = write_subject(name, code, target, action.title)
    status = engine.status()
    tokens = engine.count_tokens(code)
    if 2 * tokens + _RESERVED_TOKENS + engine.count_tokens(subject) > status.context_tokens or (
        position is None and tokens > action.max_new_tokens
    ):
        first, last = target.line_numbers
        raise PromptTooLong(f"Lines {first} to {last} are {tokens} tokens: too many to be read and written again.")
    parts, prefix, end_tokens = build_edit_parts(base_format, code, subject, answer.start)
    known = status.special_tokens
    return InstructionPrompt(
        Request(
            parts=adapt_to_tokens(parts, known),
            max_new_tokens=action.max_new_tokens,
            end_tokens=tuple(token for token in end_tokens if token.literal in known),
            sampling=Sampling(action.temperature, action.top_p),
            adapter=adapter,
            priority=Priority.EXPLANATION,
            document=target.document,
        ),
        target,
        code,
        "",
        "",
        allowed_characters=target.text,
        is_text_answer=position is not None,
        answer_prefix=prefix if position is None else "",
        closing_text=answer.closing or closing_text(base_format),
    )


def write_subject(name: str, code: str, target: Target, title: str = "") -> str:
    """The subject of the commit: from the action, the user's words or the problems that the editor reports.

    ``title`` is that of an action of the user's own.
    """
    found = _NAME.search(code)
    what = found[1] if found else ""
    if name == "rewrite":
        subject = target.instruction
    elif name == "fix":
        subject = f"Fix bug in {what}" if what else "Fix bug"
        if target.diagnostics:
            subject += f": {re.sub(r'^Line [0-9]+: ', '', target.diagnostics[0])}"
    elif name == "document":
        subject = f"Add docstring to {what}" if what else "Add docstring"
    elif name == "simplify":
        subject = f"Simplify {what}" if what else "Simplify code"
    else:
        subject = target.instruction or title
    subject = " ".join(strip_hidden_characters(secrets.mask_secrets(subject)).split())[:_MAX_SUBJECT_CHARS]
    return subject[:1].upper() + subject[1:]


def _begin_answer(name: str, code: str, target: Target, position: DocstringPosition | None) -> _Answer:
    """The first line of a function stays as it is, except where the user says what to change."""
    if position is None:
        header = _HEADER.match(code) if name != "rewrite" else None
        return _Answer(f"{header[0]}\n" if header else "")
    if position.start < target.start or target.language != "python":
        raise ActionUnavailable(
            "Without an adapter, the model writes docstrings of Python only. Add an instruction-tuned adapter."
        )
    head = target.text[target.start : position.start].rstrip()
    masked = target.masked_code[: len(head)]
    lines = text_lines.dedent([line.rstrip("\r\n") for line in text_lines.split_lines(masked)])
    indentation = position.indentation.removeprefix(text_lines.indentation_of(target.code))
    return _Answer("\n".join(lines) + f"\n{indentation}{_QUOTES}", _QUOTES)
