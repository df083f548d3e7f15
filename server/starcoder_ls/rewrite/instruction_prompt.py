"""Builds the prompt for an action on a target, in the template that the model was tuned with.

Decides how the instruction is worded, and what is cut or rejected if the model's context is too small.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from dataclasses import dataclass

from starcoder_ls.actions import PLACEHOLDER, Action
from starcoder_ls.context import secrets
from starcoder_ls.edit_formats import join_texts, split_template
from starcoder_ls.errors import PromptTooLong
from starcoder_ls.generation import Engine, Priority, PromptPart, Request, Sampling, SpecialToken
from starcoder_ls.hidden_characters import strip_hidden_characters
from starcoder_ls.languages.table import prompt_name
from starcoder_ls.rewrite import text_lines
from starcoder_ls.rewrite.prompt_form import PromptForm, choose_prompt_form
from starcoder_ls.rewrite.target import Target

_EMPTY, _CODE = "\0", "\1"  # placeholders for empty values, and for the code until everything else is filled in
_MAX_CHARS_PER_TOKEN, _MEAN_CHARS_PER_TOKEN = 8, 3  # no code has more characters per token; the second is an estimate
_BACKTICKS, _FENCE_NAME = re.compile("`+"), re.compile(r"[^A-Za-z0-9_+#.-]")
_RESERVED_TOKENS = 24  # for special tokens, and for what the separately counted texts need when they are joined


@dataclass(frozen=True, slots=True)
class InstructionPrompt:
    """``code`` is what the model sees of the target; ``note`` tells the user what it does not see.

    ``question_prefix`` and ``question_suffix`` are what a model writes around a question if it repeats one.
    ``is_text_answer``: the answer is words, not code; ``is_shown``: it is shown, and not made a docstring.
    ``allowed_characters``: hidden characters of this text may occur in the answer. ``answer_prefix``: the end of the
    prompt, which belongs to the answer. ``closing_text`` ends it. ``is_without_known_definitions``: what the document
    defines is removed from the answer.
    """

    request: Request
    target: Target
    code: str
    question_prefix: str
    question_suffix: str
    note: str = ""
    allowed_characters: str = ""
    is_text_answer: bool = True
    answer_prefix: str = ""
    closing_text: str = ""
    is_shown: bool = False
    is_without_known_definitions: bool = False


def build_instruction_prompt(
    engine: Engine, action: Action, target: Target, adapter: str | None, template: str
) -> InstructionPrompt:
    """The prompt of ``action``. Long code is cut if the answer is an explanation, and the note says so.

    Raises PromptTooLong if the code does not fit, or if a replacement of it would be longer than `max_new_tokens`;
    ActionUnavailable if the chat template that ``template`` means cannot be used; EngineNotReady if the engine cannot
    count tokens yet.
    """
    status = engine.status()
    form = choose_prompt_form(template, action.becomes, status)
    lines = text_lines.dedent([line.rstrip("\r\n") for line in text_lines.split_lines(target.masked_code)])
    instruction = _fill_in(action, target)
    overhead = _RESERVED_TOKENS + engine.count_tokens(form.prefix + instruction + form.suffix)
    free_tokens = (status.context_tokens - action.max_new_tokens - overhead) // max(1, instruction.count(_CODE))
    if action.becomes == "text":
        shown_lines = _count_fitting_lines(lines, free_tokens, engine.count_tokens)
    else:
        shown_lines = len(lines)
        tokens = _count_or_estimate("\n".join(lines), free_tokens, engine.count_tokens)
        _require_fitting(action, target, tokens, free_tokens)
    if shown_lines == 0 and lines:
        raise PromptTooLong(
            f"The model reads {status.context_tokens} tokens, which leaves no room for this code and an answer of "
            f"{action.max_new_tokens} tokens. Lower `max_new_tokens` of the action."
        )
    code = "\n".join(lines[:shown_lines])
    question = _insert_code(instruction, _in_fence(code, target.language) if form.has_fences else code)
    request = Request(
        parts=_build_parts(form, question, status.special_tokens),
        max_new_tokens=action.max_new_tokens,
        end_tokens=_end_tokens(form, status.special_tokens),
        sampling=Sampling(action.temperature, action.top_p),
        adapter=adapter,
        priority=Priority.EXPLANATION,
        document=target.document,
    )
    note = f"Only the first {shown_lines} of {len(lines)} lines were read: the rest does not fit."
    return InstructionPrompt(
        request,
        target,
        code,
        form.question_prefix,
        form.question_suffix,
        note if shown_lines < len(lines) else "",
        "" if action.becomes == "text" else target.text,
        action.becomes in ("text", "docstring"),
        is_shown=action.becomes == "text",
    )


def _fill_in(action: Action, target: Target) -> str:
    """The instruction with every placeholder but the code filled in.

    A single pass fills them in, so that placeholders in the user's text stay as they are. An empty value takes the
    line, or the blank, that it would leave with it.
    """
    values = {
        "instruction": strip_hidden_characters(secrets.mask_secrets(target.instruction)).strip(),
        "language": strip_hidden_characters(prompt_name(target.language)),
        "diagnostics": strip_hidden_characters(secrets.mask_secrets("\n".join(target.diagnostics))),
        "file": strip_hidden_characters(target.file_name),
        "code": _CODE,
    }
    instruction = PLACEHOLDER.sub(lambda match: values[match[1]] or _EMPTY, action.instruction)
    return re.sub(r"\n?\0(?=\n|\Z)|\0 ?", "", instruction).strip()


def _insert_code(instruction: str, code: str) -> str:
    """The code in place of each placeholder, or below the instruction."""
    if _CODE in instruction:
        return instruction.replace(_CODE, code)
    return f"{instruction}\n{code}" if code else instruction


def _in_fence(code: str, language: str) -> str:
    """``code`` as a fenced block of Markdown, as chat-tuned models know it; nothing for no code."""
    longest = max((len(run) for run in _BACKTICKS.findall(code)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"\n{fence}{_FENCE_NAME.sub('', language)}\n{code}\n{fence}" if code else ""


def _count_or_estimate(code: str, free_tokens: int, count: Callable[[str], int]) -> int:
    """The tokens of ``code``; an estimate if it cannot fit anyway, since counting megabytes takes seconds."""
    return count(code) if len(code) <= free_tokens * _MAX_CHARS_PER_TOKEN else len(code) // _MEAN_CHARS_PER_TOKEN


def _count_fitting_lines(lines: list[str], free_tokens: int, count: Callable[[str], int]) -> int:
    """How many of the first lines fit, by bisection."""
    if _count_or_estimate("\n".join(lines), free_tokens, count) <= free_tokens:
        return len(lines)
    ends = itertools.accumulate(len(line) + 1 for line in lines)
    low, high = 0, sum(1 for end in ends if end <= free_tokens * _MAX_CHARS_PER_TOKEN)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if count("\n".join(lines[:middle])) <= free_tokens else (low, middle - 1)
    return low


def _require_fitting(action: Action, target: Target, tokens: int, free_tokens: int) -> None:
    first, last = target.line_numbers
    if tokens > free_tokens:
        raise PromptTooLong(
            f"Lines {first} to {last} are {tokens} tokens; {max(free_tokens, 0)} fit beside an answer of "
            f"{action.max_new_tokens}. Select less."
        )
    if action.becomes == "replacement" and tokens > action.max_new_tokens:
        raise PromptTooLong(
            f"Lines {first} to {last} are {tokens} tokens, more than the {action.max_new_tokens} that the answer may "
            "have. Select less, or raise `max_new_tokens` of the action."
        )


def _build_parts(form: PromptForm, question: str, special_tokens: frozenset[str]) -> tuple[PromptPart, ...]:
    before, after = split_template(form.prefix, special_tokens), split_template(form.suffix, special_tokens)
    return join_texts((*before, question, *after))


def _end_tokens(form: PromptForm, special_tokens: frozenset[str]) -> tuple[SpecialToken, ...]:
    """The special tokens of the form: in an answer, each of them begins something that is no longer the answer."""
    parts = (*split_template(form.prefix + form.suffix, special_tokens), *map(SpecialToken, form.end_tokens))
    return tuple(dict.fromkeys(part for part in parts if isinstance(part, SpecialToken)))
