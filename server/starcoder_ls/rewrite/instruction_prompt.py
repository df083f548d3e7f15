"""An action and its target as the prompt a model was tuned to answer.

Decides how a question is worded and what is cut or refused where the model's context is too small. Refuses to know
what becomes of the answer.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from dataclasses import dataclass, replace

from starcoder_ls.actions import PLACEHOLDER, Action
from starcoder_ls.context import secrets
from starcoder_ls.errors import PromptTooLong
from starcoder_ls.generation import Engine, Priority, PromptPart, Request, Sampling, SpecialToken
from starcoder_ls.languages.table import prompt_name
from starcoder_ls.rewrite import text_lines
from starcoder_ls.rewrite.hidden_characters import cleaned
from starcoder_ls.rewrite.target import Target

_QUESTION = "{question}"
_NOTHING, _CODE = "\0", "\1"  # stand for what is empty, and for the code, until all else is filled in
_MOST_CHARS_PER_TOKEN, _CHARS_PER_TOKEN = 8, 3  # no code is sparser than the first; the second is a guess
_MARKS_TOKENS = 16  # what joins the counted pieces, and the special tokens


@dataclass(frozen=True, slots=True)
class Asked:
    """A question on its way. ``code`` is what the model was given; ``note`` is for the user to read first.

    ``is_read`` tells an answer in words from one in code. ``familiar`` is text whose characters may stand in the
    answer even if they hide.
    """

    request: Request
    target: Target
    code: str
    head: str
    tail: str
    note: str = ""
    familiar: str = ""
    is_read: bool = True


def ask(engine: Engine, action: Action, target: Target, adapter: str | None, template: str) -> Asked:
    """Raises PromptTooLong, EngineNotReady. Long code is cut where the answer is only read, and the note says so."""
    status = engine.status()
    head, _, tail = template.partition(_QUESTION)
    room = status.context_tokens - action.max_new_tokens - _MARKS_TOKENS
    rows = text_lines.without_margin([row.rstrip("\r\n") for row in text_lines.split(target.shown)])
    words = _worded(action, target)
    room -= engine.count_tokens(head + words + tail)
    if action.becomes == "text":
        kept = _fitting(rows, room, engine.count_tokens)
    else:
        kept = len(rows)
        _require_room(action, target, _tokens("\n".join(rows), room, engine.count_tokens), room)
    if kept == 0 and rows:
        raise PromptTooLong(
            f"The model reads {status.context_tokens} tokens, which leaves no room for this code beside an answer of "
            f"{action.max_new_tokens}. Lower `max_new_tokens` of the action."
        )
    code = "\n".join(rows[:kept])
    question = _with_code(words, code)
    request = Request(
        parts=(*_parts(head, status.special_tokens, question), *_parts(tail, status.special_tokens)),
        max_new_tokens=action.max_new_tokens,
        end_tokens=tuple(SpecialToken(literal) for literal in _specials(head + tail, status.special_tokens)),
        sampling=Sampling(action.temperature, action.top_p),
        adapter=adapter,
        priority=Priority.EXPLANATION,
        document=target.document,
    )
    note = "" if kept == len(rows) else f"Only the first {kept} of {len(rows)} lines were read: the rest does not fit."
    familiar = "" if action.becomes == "text" else target.text
    is_read = action.becomes in ("text", "docstring")
    return Asked(_merged(request), target, code, head.strip(), tail.strip(), note, familiar, is_read)


def _worded(action: Action, target: Target) -> str:
    """The instruction, everything but the code filled in. One pass: what is filled in is never looked at again."""
    filled = {
        "instruction": cleaned(target.instruction).strip(),
        "language": prompt_name(target.language),
        "diagnostics": cleaned(secrets.masked("\n".join(target.diagnostics))),
        "file": cleaned(target.file),
        "code": _CODE,
    }
    words = PLACEHOLDER.sub(lambda match: filled[match[1]] or _NOTHING, action.instruction)
    words = re.sub(r"\n?\0(?=\n|\Z)|\0 ?", "", words)  # an empty one takes its line, or its blank, along
    return words.strip()


def _with_code(words: str, code: str) -> str:
    if _CODE in words:
        before, _, after = words.partition(_CODE)
        return f"{before}{code}{after}"
    return f"{words}\n{code}" if code else words


def _tokens(code: str, room: int, count: Callable[[str], int]) -> int:
    """Counted where it may fit; estimated where it cannot, since counting megabytes takes seconds."""
    return count(code) if len(code) <= room * _MOST_CHARS_PER_TOKEN else len(code) // _CHARS_PER_TOKEN


def _fitting(rows: list[str], room: int, count: Callable[[str], int]) -> int:
    """How many lines fit, by bisection."""
    if _tokens("\n".join(rows), room, count) <= room:
        return len(rows)
    ends = itertools.accumulate(len(row) + 1 for row in rows)
    low, high = 0, sum(1 for end in ends if end <= room * _MOST_CHARS_PER_TOKEN)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if count("\n".join(rows[:middle])) <= room else (low, middle - 1)
    return low


def _require_room(action: Action, target: Target, tokens: int, room: int) -> None:
    first, last = target.line_numbers
    if tokens > room:
        raise PromptTooLong(
            f"Lines {first} to {last} are {tokens} tokens; {max(room, 0)} fit beside an answer of "
            f"{action.max_new_tokens}. Select less."
        )
    if action.becomes == "replacement" and tokens > action.max_new_tokens:
        raise PromptTooLong(
            f"Lines {first} to {last} are {tokens} tokens, more than the {action.max_new_tokens} that the answer may "
            "have. Select less, or raise `max_new_tokens` of the action."
        )


def _specials(template: str, inventory: frozenset[str]) -> list[str]:
    return [piece for piece in _cut(template, inventory) if piece in inventory]


def _parts(template: str, inventory: frozenset[str], text: str = "") -> list[PromptPart]:
    pieces: list[PromptPart] = [
        SpecialToken(piece) if piece in inventory else piece for piece in _cut(template, inventory)
    ]
    return [*pieces, text] if text else pieces


def _cut(template: str, inventory: frozenset[str]) -> list[str]:
    """Special tokens of the template apart from its plain text; those typed in code stay text."""
    if not inventory:
        return [template] if template else []
    literals = "|".join(re.escape(literal) for literal in sorted(inventory, key=len, reverse=True))
    return [piece for piece in re.split(f"({literals})", template) if piece]


def _merged(request: Request) -> Request:
    """Neighbouring plain parts as one, as the model saw them in training: tokenizers do not cut where we do."""
    parts: list[PromptPart] = []
    for part in request.parts:
        if parts and isinstance(part, str) and isinstance(parts[-1], str):
            parts[-1] += part
        else:
            parts.append(part)
    return replace(request, parts=tuple(parts))
