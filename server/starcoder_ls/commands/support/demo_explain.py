"""The demo's second half: functions explained by the bundled adapter, the first while a completion comes in between."""

from __future__ import annotations

import asyncio
import importlib.util
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from pathlib import Path

from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.text import Text

import starcoder_ls
from starcoder_ls.commands.support.engines import routed
from starcoder_ls.completion.cursor import Cursor
from starcoder_ls.completion.suggest import suggest
from starcoder_ls.generation import Engine
from starcoder_ls.rewrite import perform_action
from starcoder_ls.rewrite.hidden_characters import strip_hidden_characters
from starcoder_ls.rewrite.target import Target, find_target
from starcoder_ls.settings import Settings


async def show(
    console: Console,
    engine: Engine,
    chosen: Settings,
    functions: Sequence[tuple[str, str]],
    between: tuple[Cursor, str] | None,
) -> None:
    """Explain each function of (module, its first words); ask for ``between`` as soon as the first one speaks."""
    for module, words in functions:
        target = _function(module, words)
        if target is None:
            console.print(f"{module} is not here or has changed\n", style="dim")
            continue
        prepared = perform_action.prepare_action(chosen, engine, "explain", target)
        title = f"explained by the adapter, a modest one: {module}, line {target.line_numbers[0]}"
        console.print(Panel(Text(target.code), title=title, title_align="left", border_style="dim"))
        with Live(console=console, auto_refresh=False) as live:  # of the answer alone: code may be taller than a screen
            async for said, meanwhile in _explained(engine, chosen, prepared, between):
                shown = Text(strip_hidden_characters(said).strip(), style="green")
                live.update(Group(shown, Text(f"{meanwhile}\n", style="dim")), refresh=True)
        console.print()
        between = None


async def _explained(
    engine: Engine, chosen: Settings, prepared: perform_action.PreparedAction, between: tuple[Cursor, str] | None
) -> AsyncIterator[tuple[str, str]]:
    """The explanation as it grows, and how the completion fared that was asked for while it was spoken."""
    said, completing, pieces_after = "", None, 0
    async with aclosing(perform_action.stream_answer(engine, prepared.prompt)) as stream:
        async for answer in stream:
            said = answer.text
            if between is not None and completing is None:
                completing = asyncio.create_task(_completed(engine, chosen, between[0]))
            is_done = completing is not None and completing.done()
            pieces_after += is_done
            yield said, "A completion that was asked for meanwhile is answered." if is_done else ""
    if completing is not None:
        milliseconds = await completing
        yield (
            said,
            f"Meanwhile a completion was asked for: answered by the base after {milliseconds:.0f} ms, "
            f"with {pieces_after} pieces of the explanation still to come.",
        )


async def _completed(engine: Engine, chosen: Settings, cursor: Cursor) -> float:
    began = time.monotonic()
    await suggest(engine, routed(engine, chosen, cursor), chosen.inline_completion)
    return (time.monotonic() - began) * 1000


def _function(module: str, words: str) -> Target | None:
    place = source_of(module)
    text = place.read_text(encoding="utf-8") if place else ""
    begin = text.find(words)
    return find_target(text, begin, begin, "python", str(place), module) if begin >= 0 else None


def source_of(module: str) -> Path | None:
    """The file of an installed module, without importing it beyond its parent package, or of a clone's own tree."""
    if module.endswith(".py"):
        file = Path(starcoder_ls.__file__).parents[2] / module
        return file if file.is_file() else None
    try:
        found = importlib.util.find_spec(module)
    except ModuleNotFoundError:
        return None
    return Path(found.origin) if found and found.origin else None
