"""``starcoder-ls explain``, ``act`` and ``ask``: the actions of the editor, for a terminal and for scripts.

Decides how text and changes are shown there. Refuses to know prompts and answers.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import re
import sys
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any

from starcoder_ls import settings
from starcoder_ls.commands.support import adapter_option, line_range
from starcoder_ls.commands.support.engines import loaded, stderr
from starcoder_ls.errors import ActionUnavailable
from starcoder_ls.generation import Engine
from starcoder_ls.rewrite import edits, perform_action
from starcoder_ls.rewrite.hidden_characters import strip_hidden_characters
from starcoder_ls.rewrite.target import Target
from starcoder_ls.settings import Settings

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def run(
    action: str,
    place: str,
    overlay: dict[str, Any],
    file: Path | None,
    adapter: str | None,
    language: str | None,
    said: tuple[str, tuple[str, ...]] = ("", ()),
    is_written: bool = False,
    is_json: bool = False,
) -> int:
    """0 when the text was shown, the diff printed or the file written. ``said`` is an instruction, and problems."""
    chosen = settings.load(overlay, file=file)
    adapter = adapter_option.in_use(adapter, chosen)
    read, target = line_range.target_at(place, language, chosen.context.ignore)
    target = replace(target, instruction=said[0], diagnostics=said[1])
    who = expected(chosen, action, target, adapter)
    with loaded(chosen, not is_json, lambda name, _: name == who.adapter, may_borrow=True) as engine:
        prepared = perform_action.prepare_action(chosen, engine, action, target, confirmed(engine, who))
        if prepared.action.becomes == "text":
            return asyncio.run(tell(engine, prepared, is_json))
        changes = asyncio.run(perform_action.compute_changes(engine, prepared))
    write_or_print_diff(read, edits.apply_changes(read.text, changes), is_written)
    return 0


def ask(
    question: str, name: str | None, overlay: dict[str, Any], file: Path | None, adapter: str | None, is_json: bool
) -> int:
    """0 when an answer was shown."""
    chosen = settings.load(overlay, file=file)
    adapter = adapter_option.in_use(adapter, chosen)
    target = replace(line_range.whole(name, chosen.context.ignore), instruction=question)
    who = expected(chosen, "ask", target, adapter)
    with loaded(chosen, not is_json, lambda name, _: name == who.adapter, may_borrow=True) as engine:
        prepared = perform_action.prepare_action(chosen, engine, "ask", target, confirmed(engine, who))
        return asyncio.run(tell(engine, prepared, is_json))


def expected(chosen: Settings, action: str, target: Target, adapter: str | None) -> perform_action.ActionRoute:
    """Who will do it, told from the settings alone: nobody waits for a model to load to hear that it cannot."""
    perform_action.require_action(chosen, action)
    adapters = chosen.resident_adapters()
    if adapter is None:
        return perform_action.require_route(chosen, adapters, action, target)
    if adapter not in adapters:
        known = f"There are: {', '.join(adapters)}." if adapters else "There are none."
        raise ActionUnavailable(f"No adapter {adapter!r} is in the settings. {known} Add `[adapters.{adapter}]`.")
    return perform_action.ActionRoute(adapter, adapters[adapter].template)


def confirmed(engine: Engine, who: perform_action.ActionRoute) -> perform_action.ActionRoute:
    """``who``, if it is loaded. Raises ActionUnavailable."""
    if who.adapter is not None and who.adapter not in perform_action.loaded_adapters(engine):
        raise ActionUnavailable(f"The adapter {who.adapter!r} could not be loaded. `starcoder-ls doctor` says why.")
    return who


async def tell(engine: Engine, prepared: perform_action.PreparedAction, is_json: bool) -> int:
    """Plain text as it is made, without whatever could steer a terminal; our own remarks go to standard error."""
    shown, answer = "", perform_action.Answer("")
    async with aclosing(perform_action.stream_answer(engine, prepared.prompt)) as stream:
        async for answer in stream:
            text = strip_hidden_characters(answer.text)
            if not is_json and text.startswith(shown):
                print(text[len(shown) :], end="", flush=True)
                shown = text
    if is_json:
        print(json.dumps(_described(answer, prepared), ensure_ascii=False))
        return 0
    text = strip_hidden_characters(answer.text)
    print("" if shown == text else f"\n{text}")  # it turned out to begin elsewhere: say it whole
    if answer.note:
        stderr.print(answer.note, style="dim")
    return 0


def _described(answer: perform_action.Answer, prepared: perform_action.PreparedAction) -> dict[str, Any]:
    first, last = prepared.prompt.target.line_numbers
    return {
        "text": strip_hidden_characters(answer.text),
        "note": answer.note,
        "adapter": prepared.prompt.request.adapter,
        "lines": [first, last] if prepared.prompt.code else None,
        "stop_reason": str(answer.finish_reason),
        "timings": dataclasses.asdict(answer.timings) if answer.timings else None,
    }


def write_or_print_diff(read: line_range.Source, new_text: str, is_written: bool) -> None:
    """Write the file, or print what would change; a terminal gets no control characters, not even the file's own."""
    if is_written:
        line_range.write(read, new_text)
        stderr.print(f"{read.name} is written", style="dim")
        return
    made = line_range.diff(read, new_text)
    if sys.stdout.isatty():
        made = _CONTROL.sub(lambda match: f"\\x{ord(match[0]):02x}", made.replace("\r\n", "\n"))
        print(made, end="")
    else:
        sys.stdout.buffer.write(made.encode("utf-8"))  # byte for byte what `patch` needs, line ends included
        sys.stdout.flush()
