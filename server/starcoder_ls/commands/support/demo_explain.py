"""The second part of the demo: the bundled adapter explains functions, and a completion is requested meanwhile."""

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
from starcoder_ls.commands.support.adapter_routing import with_routed_adapter
from starcoder_ls.completion.cursor import Cursor
from starcoder_ls.completion.suggest import suggest
from starcoder_ls.generation import Engine
from starcoder_ls.hidden_characters import strip_hidden_characters
from starcoder_ls.rewrite import perform_action
from starcoder_ls.rewrite.target import Target, find_target
from starcoder_ls.settings import Settings


async def explain_functions(
    console: Console,
    engine: Engine,
    config: Settings,
    functions: Sequence[tuple[str, str]],
    cursor: Cursor | None,
) -> None:
    """Explain each function, given as module and first words of its definition.

    A completion at ``cursor`` is requested as soon as the first explanation has begun.
    """
    for module, first_words in functions:
        target = _find_function(module, first_words)
        if target is None:
            console.print(f"{module} is missing or has changed\n", style="dim")
            continue
        prepared = perform_action.prepare_action(config, engine, "explain", target)
        title = f"explained by the (small) adapter: {module}, line {target.line_numbers[0]}"
        console.print(Panel(Text(target.code), title=title, title_align="left", border_style="dim"))
        with Live(console=console, auto_refresh=False) as live:  # without the code, which may be taller than the screen
            async for explanation, note in _explain(engine, config, prepared, cursor):
                text = Text(strip_hidden_characters(explanation).strip(), style="green")
                live.update(Group(text, Text(f"{note}\n", style="dim")), refresh=True)
        console.print()
        cursor = None


async def _explain(
    engine: Engine, config: Settings, prepared: perform_action.PreparedAction, cursor: Cursor | None
) -> AsyncIterator[tuple[str, str]]:
    """Yields the explanation so far, and a note about the completion that was requested meanwhile."""
    explanation, completion, later_chunks = "", None, 0
    async with aclosing(perform_action.stream_answer(engine, prepared.prompt)) as stream:
        async for answer in stream:
            explanation = answer.text
            if cursor is not None and completion is None:
                completion = asyncio.create_task(_measure_completion(engine, config, cursor))
            is_done = completion is not None and completion.done()
            later_chunks += is_done
            yield explanation, "A completion that was requested meanwhile is answered." if is_done else ""
    if completion is not None:
        elapsed_ms = await completion
        yield (
            explanation,
            f"Meanwhile a completion was requested: the base model answered after {elapsed_ms:.0f} ms, "
            f"{later_chunks} chunks before the end of the explanation.",
        )


async def _measure_completion(engine: Engine, config: Settings, cursor: Cursor) -> float:
    """Milliseconds from the request to the suggestion."""
    started_s = time.monotonic()
    await suggest(engine, with_routed_adapter(engine, config, cursor), config.inline_completion)
    return (time.monotonic() - started_s) * 1000


def _find_function(module: str, first_words: str) -> Target | None:
    file = source_file(module)
    text = file.read_text(encoding="utf-8") if file else ""
    start = text.find(first_words)
    return find_target(text, start, start, "python", str(file), module) if start >= 0 else None


def source_file(module: str) -> Path | None:
    """The file of an installed module, or of this repository if ``module`` is a path. Imports parent packages only."""
    if module.endswith(".py"):
        file = Path(starcoder_ls.__file__).parents[2] / module
        return file if file.is_file() else None
    try:
        spec = importlib.util.find_spec(module)
    except ModuleNotFoundError:
        return None
    return Path(spec.origin) if spec and spec.origin else None
