"""``starcoder-ls demo``: cursors in real files that the bundled model was not trained on, completed as in an editor."""

from __future__ import annotations

import asyncio
import importlib.util
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console, Group
from rich.panel import Panel
from rich.text import Text

from starcoder_ls import settings
from starcoder_ls.commands.headless import loaded
from starcoder_ls.commands.place import as_ghost
from starcoder_ls.completion.suggest import Cursor, suggest
from starcoder_ls.generation import Engine


@dataclass(frozen=True, slots=True)
class Hole:
    """The cursor stands right after ``before`` (its first occurrence) in ``module``; ``after`` is where the hole ends."""

    title: str
    module: str
    before: str
    after: str = "\n"


HOLES = (
    Hole("a method's body", "rich.table", "        return self._expand", "\n"),
)


def run(overlay: dict[str, Any], file: Path | None) -> int:
    """0 if any suggestion was made."""
    console = Console(highlight=False)
    chosen = settings.load(overlay, file=file)
    began = time.monotonic()
    with loaded(chosen.model) as engine:
        status = engine.status()
        console.print(f"{status.model} on {status.device} ({status.dtype}), ready after {time.monotonic() - began:.1f} s\n")
        shown = [hole for hole in HOLES if _show(console, engine, hole, chosen.inline_completion)]
    console.print("Dim text is the model's; nothing is canned: the files are those installed beside this program.")
    return 0 if shown else 1


def _show(console: Console, engine: Engine, hole: Hole, options: settings.InlineCompletion) -> bool:
    place = source_of(hole.module)
    text = place.read_text(encoding="utf-8") if place else ""
    begin = text.find(hole.before)
    if place is None or begin < 0:
        console.print(f"{hole.title}: {hole.module} is not here or has changed\n", style="dim")
        return False
    begin += len(hole.before)
    end = text.find(hole.after, begin)
    cursor = Cursor(text[:begin] + text[end:], begin, "python", str(place), hole.module)
    began = time.monotonic()
    found = asyncio.run(suggest(engine, cursor, options))
    milliseconds = (time.monotonic() - began) * 1000
    line = text.count("\n", 0, begin) + 1
    stood = Text("really there: ", style="dim").append(text[begin:end].strip() or "nothing", style="green")
    body = Group(as_ghost(cursor, found[0].text if found else ""), Text(), stood)
    title = f"{hole.title}: {hole.module}, line {line}, {milliseconds:.0f} ms"
    console.print(Panel(body, title=title, title_align="left", border_style="dim"))
    return bool(found)


def source_of(module: str) -> Path | None:
    """The file of an installed module, without importing it beyond its parent package."""
    try:
        found = importlib.util.find_spec(module)
    except ModuleNotFoundError:
        return None
    return Path(found.origin) if found and found.origin else None
