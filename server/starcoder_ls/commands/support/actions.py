"""What the commands that run actions share: the choice of the adapter, and the output of a text answer."""

from __future__ import annotations

import dataclasses
import json
from contextlib import aclosing
from typing import Any

from starcoder_ls.commands.support.console import stderr
from starcoder_ls.errors import ActionUnavailable
from starcoder_ls.generation import Engine
from starcoder_ls.hidden_characters import strip_hidden_characters
from starcoder_ls.rewrite import perform_action
from starcoder_ls.rewrite.answer_blocks import settled_length
from starcoder_ls.rewrite.base_formats import BASE_ACTIONS
from starcoder_ls.rewrite.target import Target
from starcoder_ls.settings import BUNDLED, Settings


def select_route(
    settings: Settings, action: str, target: Target, adapter: str | None
) -> perform_action.ActionRoute | None:
    """The adapter (or base model) that the settings provide for the action. No model is loaded for this.

    ``adapter`` is the name that the user demands, if any. None if the loaded model decides whether it can do it without
    an adapter. Raises ActionUnavailable.
    """
    perform_action.require_action(settings, action)
    adapters = settings.resident_adapters()
    if adapter is None:
        if action in BASE_ACTIONS and settings.model.name != BUNDLED:
            return perform_action.find_route(settings, adapters, action, target.language, target.path)
        return perform_action.require_route(settings, adapters, action, target)
    if adapter not in adapters:
        known = f"There are: {', '.join(adapters)}." if adapters else "There are none."
        raise ActionUnavailable(f"No adapter {adapter!r} is in the settings. {known} Add `[adapters.{adapter}]`.")
    return perform_action.ActionRoute(adapter, adapters[adapter].prompt_template)


def require_loaded(engine: Engine, route: perform_action.ActionRoute | None) -> perform_action.ActionRoute | None:
    """``route`` itself. Raises ActionUnavailable if its adapter is not loaded."""
    if route is not None and route.adapter is not None and route.adapter not in perform_action.loaded_adapters(engine):
        raise ActionUnavailable(f"The adapter {route.adapter!r} could not be loaded. `starcoder-ls doctor` says why.")
    return route


async def print_answer(engine: Engine, prepared: perform_action.PreparedAction, is_json: bool) -> int:
    """Print the answer as it is generated, without control characters, or as one JSON object; notes go to stderr.

    A block of code is printed when it has ended.
    """
    may_lose_definitions = prepared.prompt.is_without_known_definitions
    printed, answer = "", perform_action.Answer("")
    async with aclosing(perform_action.stream_answer(engine, prepared.prompt)) as stream:
        async for answer in stream:
            text = strip_hidden_characters(answer.text[: settled_length(answer.text, may_lose_definitions)])
            if not is_json and text.startswith(printed):
                print(text[len(printed) :], end="", flush=True)
                printed = text
    if is_json:
        print(json.dumps(_describe(answer, prepared), ensure_ascii=False))
        return 0
    text = strip_hidden_characters(answer.text)
    print("" if printed == text else f"\n{text}")  # the beginning changed after it was printed: print all of it
    if answer.note:
        stderr.print(answer.note, style="dim")
    return 0


def _describe(answer: perform_action.Answer, prepared: perform_action.PreparedAction) -> dict[str, Any]:
    first, last = prepared.prompt.target.line_numbers
    return {
        "text": strip_hidden_characters(answer.text),
        "note": answer.note,
        "adapter": prepared.prompt.request.adapter,
        "lines": [first, last] if prepared.prompt.code else None,
        "stop_reason": str(answer.finish_reason),
        "timings": dataclasses.asdict(answer.timings) if answer.timings else None,
    }
