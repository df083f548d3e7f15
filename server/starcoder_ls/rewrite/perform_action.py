"""Performs one action: finds the adapter, prompts the model, and returns its answer in words or as changes.

All steps of an action are called from here.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Collection
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import cast

from starcoder_ls import routing
from starcoder_ls.actions import BUILT_IN, Action
from starcoder_ls.context import secrets
from starcoder_ls.edit_formats import EditFormat, find_trained_format
from starcoder_ls.errors import ActionUnavailable, AnswerUnusable
from starcoder_ls.generation import Chunk, Engine, FinishReason, Status, Timings
from starcoder_ls.hidden_characters import strip_hidden_characters
from starcoder_ls.languages.table import by_id
from starcoder_ls.printable import quoted_code
from starcoder_ls.rewrite import answer_blocks, answer_loops, answer_parsing, docstrings, edits
from starcoder_ls.rewrite.answer_scope import scope_answer
from starcoder_ls.rewrite.base_formats import build_base_prompt, find_base_format
from starcoder_ls.rewrite.docstrings import DocstringPosition
from starcoder_ls.rewrite.instruction_prompt import InstructionPrompt, build_instruction_prompt
from starcoder_ls.rewrite.target import Target, expand_to_function
from starcoder_ls.settings import AUTO, EDIT_TEMPLATE, Settings

_CUT_REASONS = (FinishReason.LENGTH, FinishReason.DEADLINE)


@dataclass(frozen=True, slots=True)
class Answer:
    """The model's answer so far; ``finish_reason`` is set in the last one.

    ``text`` is plain text: pass it through ``sanitize_markdown`` to show it as markdown. ``note`` is a remark of this
    package on the answer. ``is_cut``: the model did not end the answer by itself.
    """

    text: str
    note: str = ""
    finish_reason: FinishReason | None = None
    timings: Timings | None = None
    is_cut: bool = False


@dataclass(frozen=True, slots=True)
class ActionRoute:
    """What performs an action: an adapter by name, or None for the base model, and the setting `template` of it.

    ``base_format``: the base model does it, although the settings do not name it for instructions.
    """

    adapter: str | None
    template: str
    base_format: EditFormat | None = None


@dataclass(frozen=True, slots=True)
class PreparedAction:
    """An action ready to be sent to the model. ``docstring_position`` is set if the answer becomes a docstring.

    ``may_rename``: the action does what the user asks for, which may include other names.
    """

    action: Action
    prompt: InstructionPrompt
    docstring_position: DocstringPosition | None = None
    may_rename: bool = False


def loaded_adapters(engine: Engine) -> list[str]:
    """The names of the adapters that the engine has loaded."""
    return [adapter.name for adapter in engine.status().adapters]


def find_route(
    settings: Settings,
    loaded: Collection[str],
    name: str,
    language: str = "",
    path: str = "",
    status: Status | None = None,
) -> ActionRoute | None:
    """What performs the action ``name``; None if no adapter of ``loaded`` does and the base model cannot.

    Without ``status`` the base model is used only if the settings say that it is tuned for instructions.
    """
    route = routing.route(settings, loaded, settings.actions[name].task or name, language, path)
    if route is None:
        base_format = find_base_format(settings, name, status) if status is not None else None
        return None if base_format is None else ActionRoute(None, AUTO, base_format)
    adapters = settings.resident_adapters()
    template = adapters[route.adapter].prompt_template if route.adapter is not None else settings.model.template
    return ActionRoute(route.adapter, template)


def require_route(
    settings: Settings, loaded: Collection[str], name: str, target: Target, status: Status | None = None
) -> ActionRoute:
    """What performs the action ``name``. Raises ActionUnavailable if nothing does, naming the setting to add."""
    route = find_route(settings, loaded, name, target.language, target.path, status)
    if route is None:
        raise ActionUnavailable(
            f"No adapter for {name!r} is loaded, and the model itself is not tuned for it. Add one to the settings: "
            "`[adapters.NAME]` with its `path`. "
            'For an instruction-tuned model set `model.tasks = ["completion", "instruct"]`.'
        )
    return route


def require_action(settings: Settings, name: str) -> Action:
    """The action ``name``. Raises ActionUnavailable if it does not exist or is disabled, naming those that exist."""
    action = settings.actions.get(name)
    if action is None or not action.enabled:
        enabled = ", ".join(sorted(name for name, action in settings.actions.items() if action.enabled))
        raise ActionUnavailable(f"There is no action {name!r}. There are: {enabled}.")
    return action


def prepare_action(
    settings: Settings, engine: Engine, name: str, target: Target, route: ActionRoute | None = None
) -> PreparedAction:
    """Checks everything that can be checked without the model.

    Raises ActionUnavailable if the action cannot be performed here, PromptTooLong if the code does not fit.
    """
    action = require_action(settings, name)
    if action.needs_instruction and not target.instruction.strip():
        raise ActionUnavailable(f"{action.title} needs an instruction. Say what the model should do.")
    position = None
    if action.becomes == "docstring":
        is_python = by_id(target.language).function_rule == "indentation"
        function = expand_to_function(target) or (None if is_python else target)
        if function is None:
            raise ActionUnavailable("There is no function or class here to describe. Put the cursor into one.")
        target, position = function, docstrings.find_position(function)
    route = route or require_route(settings, loaded_adapters(engine), name, target, engine.status())
    base_format = route.base_format
    if base_format is None and route.template == EDIT_TEMPLATE:
        if action.becomes in ("text", "insertion"):
            raise ActionUnavailable(f'An adapter with `template = "{EDIT_TEMPLATE}"` changes code only.')
        base_format = find_trained_format(engine.status().special_tokens)
    if base_format in (None, "chat"):
        prompt = build_instruction_prompt(engine, action, target, route.adapter, route.template)
    else:
        prompt = build_base_prompt(engine, action, name, target, base_format, position, route.adapter)
    if name == "test" and prompt.is_shown:
        prompt = replace(prompt, is_without_known_definitions=True)
    return PreparedAction(action, prompt, position, action.needs_instruction or name not in BUILT_IN)


async def stream_answer(engine: Engine, prompt: InstructionPrompt) -> AsyncGenerator[Answer]:
    """Yields the answer each time it has grown, and once more at its end. Closing the iterator ends the generation.

    Raises AnswerUnusable if the answer is empty, and what ``Engine.stream`` raises.
    """
    generated, text, sent = "", "", ""
    finish_reason: FinishReason | None = None
    timings: Timings | None = None
    repetition: int | None = None
    repeated_code = prompt.code if prompt.is_text_answer else ""
    async with aclosing(cast("AsyncGenerator[Chunk]", engine.stream(prompt.request))) as stream:
        async for chunk in stream:
            generated += chunk.text
            is_closed = bool(prompt.closing_text) and prompt.closing_text in generated
            generated = generated.partition(prompt.closing_text)[0] if is_closed else generated
            finish_reason, timings = chunk.finish_reason or finish_reason, chunk.timings or timings
            visible = strip_hidden_characters(prompt.answer_prefix + generated, prompt.allowed_characters)
            text, has_ended = answer_parsing.extract_answer(
                visible, prompt.question_prefix, prompt.question_suffix, repeated_code
            )
            is_limit_reached = finish_reason in _CUT_REASONS
            repetition = answer_loops.find_loop(text, is_limit_reached) if prompt.is_text_answer else None
            if has_ended or is_closed or repetition is not None:
                text, finish_reason = text[:repetition], FinishReason.STOP_RULE
            if finish_reason is not None:
                break
            text = answer_parsing.hold_back_question(text, prompt.question_prefix)
            if text != sent:
                sent = text
                yield Answer(text, prompt.note)
    if not text.strip():
        raise AnswerUnusable("The model's answer is empty. Select other lines, or reword the instruction.")
    note, is_cut = prompt.note, finish_reason in _CUT_REASONS or repetition is not None
    if is_cut:
        where = "where it began to repeat itself" if repetition else f"after {prompt.request.max_new_tokens} tokens"
        note = f"{note} The answer is cut {where}.".strip()
    if prompt.is_shown:
        text, note = _repair_blocks(prompt, text, note, is_cut)
    yield Answer(text, note, finish_reason, timings, is_cut)


def _repair_blocks(prompt: InstructionPrompt, text: str, note: str, is_cut: bool) -> tuple[str, str]:
    """The answer as it is shown, and the note on it."""
    text, removed = answer_blocks.end_last_block(text, prompt.target.language, is_cut), list[str]()
    if prompt.is_without_known_definitions:
        text, removed = answer_blocks.remove_known_definitions(text, prompt.target)
    if removed:
        names, where = ", ".join(map(quoted_code, removed)), prompt.target.file_name or "the document"
        copies = "its copy is" if len(removed) == 1 else "its copies are"
        note = f"{note} The answer uses {names} of {where}: {copies} left out.".strip()
    return text, note


async def compute_changes(engine: Engine, prepared: PreparedAction) -> list[edits.Change]:
    """Asks the model and returns the changes that its answer means; the document itself is not modified.

    Raises AnswerUnusable if the answer has no usable code or description, changes nothing, or breaks the syntax.
    """
    prompt = prepared.prompt
    async with aclosing(stream_answer(engine, prompt)) as stream:
        answer = [answer async for answer in stream][-1]
    target = prompt.target
    if prepared.docstring_position is not None:
        description = docstrings.extract_description(answer.text, target, answer.is_cut)
        description = _restore_secrets(description, target)
        changes = docstrings.build_changes(target, prepared.docstring_position, description)
    else:
        is_insertion = prepared.action.becomes == "insertion"
        code = answer_parsing.extract_code(answer.text, "" if is_insertion else prompt.code, answer.is_cut)
        scoped = scope_answer(target, code, is_insertion, prepared.may_rename)
        code = _restore_secrets(scoped.code, target)
        changes = edits.insert_below(target, code) if is_insertion else edits.replace_target(target, code)
        changes = sorted((*scoped.import_changes, *changes), key=lambda change: change.start) if changes else []
    if not changes:
        raise AnswerUnusable("The model returned the code unchanged, so there is nothing to change.")
    edits.require_valid_syntax(target, changes)
    return changes


def _restore_secrets(text: str, target: Target) -> str:
    """``text`` with the target's own secrets, which the model did not see, in the lines that it left as they are.

    Raises AnswerUnusable if another line contains a secret or a masked one.
    """
    restored = secrets.restore_secrets(text, target.masked_code, target.code)
    if restored is None:
        raise AnswerUnusable(
            "The answer rewrites a line that holds a secret, which no model sees. Leave that line out."
        )
    return restored
