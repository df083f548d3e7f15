"""One action from its question to what becomes of it: text as it is made, or the changes of the document.

The whole walk in one place. Refuses to know editors, positions and what runs the model.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Collection
from contextlib import aclosing
from dataclasses import dataclass
from typing import cast

from starcoder_ls import routing
from starcoder_ls.actions import Action
from starcoder_ls.context import secrets
from starcoder_ls.errors import ActionUnavailable, AnswerUnusable
from starcoder_ls.generation import Chunk, Engine, FinishReason, Timings
from starcoder_ls.languages.table import by_id
from starcoder_ls.rewrite import answer_parsing, docstrings, edits
from starcoder_ls.rewrite.hidden_characters import cleaned
from starcoder_ls.rewrite.instruction_prompt import Asked, ask
from starcoder_ls.rewrite.target import Target, function_of
from starcoder_ls.settings import Settings

_CUT = (FinishReason.LENGTH, FinishReason.DEADLINE)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model has said so far, without what is not to be shown; the last one has ``finish_reason`` set.

    ``said`` is plain text: whoever renders it as markdown makes it ``harmless`` first. ``note`` is ours, to be shown
    before it. ``is_cut``: it did not come to its own end.
    """

    said: str
    note: str = ""
    finish_reason: FinishReason | None = None
    timings: Timings | None = None
    is_cut: bool = False


@dataclass(frozen=True, slots=True)
class Doer:
    """Who does an action: an adapter by name, or None for the base model, and how it wants to be asked."""

    adapter: str | None
    template: str


def resident(engine: Engine) -> list[str]:
    """The adapters that are loaded, by name."""
    return [adapter.name for adapter in engine.status().adapters]


def doer(settings: Settings, loaded: Collection[str], name: str, language: str = "", path: str = "") -> Doer | None:
    """None where no adapter of ``loaded`` does it and the base model is not tuned to."""
    found = routing.route(settings, loaded, settings.actions[name].task or name, language, path)
    if found is None:
        return None
    adapters = settings.resident_adapters()
    template = adapters[found.adapter].template if found.adapter is not None else settings.model.template
    return Doer(found.adapter, template)


def require_doer(settings: Settings, loaded: Collection[str], name: str, target: Target) -> Doer:
    """Raises ActionUnavailable, which says what to add to the settings."""
    found = doer(settings, loaded, name, target.language, target.path)
    if found is None:
        raise ActionUnavailable(
            f"No adapter for {name!r} is loaded, and the model itself is not tuned for it. Add one to the settings: "
            "`[adapters.NAME]` with its `path`. "
            'For an instruction-tuned model set `model.tasks = ["completion", "instruct"]`.'
        )
    return found


def require_action(settings: Settings, name: str) -> Action:
    """Raises ActionUnavailable naming those there are."""
    action = settings.actions.get(name)
    if action is None or not action.enabled:
        known = ", ".join(sorted(name for name, action in settings.actions.items() if action.enabled))
        raise ActionUnavailable(f"There is no action {name!r}. There are: {known}.")
    return action


async def spoken(engine: Engine, asked: Asked) -> AsyncGenerator[Answer]:
    """The answer as it grows, at every token that adds to it. Closing the iterator stops the device.

    Raises AnswerUnusable for an empty one, and what ``Engine.stream`` raises.
    """
    text, said, shown = "", "", ""
    finish_reason: FinishReason | None = None
    timings: Timings | None = None
    circle: int | None = None
    async with aclosing(cast("AsyncGenerator[Chunk]", engine.stream(asked.request))) as stream:
        async for chunk in stream:
            text += chunk.text
            finish_reason, timings = chunk.finish_reason or finish_reason, chunk.timings or timings
            echo = asked.code if asked.is_read else ""
            said, is_over = answer_parsing.body(cleaned(text, asked.familiar), asked.head, asked.tail, echo)
            circle = answer_parsing.find_repetition(said) if asked.is_read else None
            if is_over or circle is not None:
                said, finish_reason = said[:circle], FinishReason.STOP_RULE
            if finish_reason is not None:
                break
            said = answer_parsing.safely_shown(said, asked.head)
            if said != shown:
                shown = said
                yield Answer(said, asked.note)
    if not said.strip():
        raise AnswerUnusable("The model answered nothing. Select a little more or less, or ask in other words.")
    note, is_cut = asked.note, finish_reason in _CUT or circle is not None
    if is_cut:
        why = "after it began to repeat itself" if circle else f"after {asked.request.max_new_tokens} tokens"
        note = f"{note} The answer is cut {why}.".strip()
    yield Answer(said, note, finish_reason, timings, is_cut)


def prepared(settings: Settings, engine: Engine, name: str, target: Target, who: Doer | None = None) -> Prepared:
    """Everything that can be said without the model is said here: raises ActionUnavailable, PromptTooLong."""
    action = require_action(settings, name)
    if action.needs_instruction and not target.instruction.strip():
        raise ActionUnavailable(f"{action.title} needs an instruction: say what to do.")
    place = None
    if action.becomes == "docstring":
        function = function_of(target) or (None if by_id(target.language).function_rule == "indentation" else target)
        if function is None:
            raise ActionUnavailable("There is no function or class here to describe. Put the cursor into one.")
        target, place = function, docstrings.place(function)
    who = who or require_doer(settings, resident(engine), name, target)
    return Prepared(action, ask(engine, action, target, who.adapter, who.template), place)


@dataclass(frozen=True, slots=True)
class Prepared:
    """A question ready to be put. ``place`` is where a docstring goes."""

    action: Action
    asked: Asked
    place: docstrings.Place | None = None


async def changes(engine: Engine, prepared: Prepared) -> list[edits.Change]:
    """The changes that the answer means; the document itself is never touched.

    Raises AnswerUnusable with a sentence wherever no right change can be told from the answer.
    """
    async with aclosing(spoken(engine, prepared.asked)) as stream:
        answer = [answer async for answer in stream][-1]
    target, is_cut = prepared.asked.target, answer.is_cut
    if prepared.place is not None:
        words = _with_secrets(docstrings.description_in(answer.said, target, is_cut), target)
        found = docstrings.written(target, prepared.place, words)
    else:
        is_addition = prepared.action.becomes == "insertion"
        code = answer_parsing.code_in(answer.said, "" if is_addition else prepared.asked.code, is_cut)
        code = _with_secrets(code, target)
        found = edits.inserted(target, code) if is_addition else edits.replaced(target, code)
    if not found:
        raise AnswerUnusable("The model gave the code back unchanged, so there is nothing to change.")
    edits.require_syntax(target, found)
    return found


def _with_secrets(said: str, target: Target) -> str:
    """The target's own secrets, which the model was not shown, are put back where it left their lines alone."""
    found = secrets.restored(said, target.shown, target.code)
    if found is None:
        raise AnswerUnusable(
            "The answer rewrites a line that holds a secret, which no model sees. Leave that line out."
        )
    return found
