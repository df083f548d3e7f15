"""``starcoder-ls demo``: cursors in real files that the bundled model was not trained on, completed as in an editor."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console, Group
from rich.panel import Panel
from rich.text import Text

from starcoder_ls import settings
from starcoder_ls.commands.support import demo_explain
from starcoder_ls.commands.support.engines import loaded, routed
from starcoder_ls.commands.support.source_position import as_ghost
from starcoder_ls.completion.cursor import Cursor
from starcoder_ls.completion.suggest import suggest
from starcoder_ls.generation import Engine


@dataclass(frozen=True, slots=True)
class Hole:
    """The cursor stands right after ``before`` (its first occurrence) in ``module``; the hole ends before ``after``.

    ``module`` is an installed module, or a file of this repository, which only a clone has.
    """

    title: str
    module: str
    before: str
    after: str = "\n"


HOLES = (
    Hole("a class", "platformdirs.api", "        self.version"),
    Hole("a method", "rich.status", "        self."),
    Hole("a loop", "rich.columns", "            for "),
    Hole("a call", "rich.live", "        self.stop"),
    Hole("a dict", "typer.rich_utils", '        "border_style": STYLE_COMMANDS_TABLE_'),
    Hole("a hole in the middle of a line", "packaging.version", "isinstance(", ")"),
    Hole(
        "a test of our own",
        "tests/completion/prompt/test_window.py",
        "def test_room_that_the_prefix_does_not_need_goes_to_the_suffix() -> None:\n    text = ",
    ),
)


EXPLAINED = (("packaging.utils", "def is_normalized_name("), ("tqdm.utils", "def disp_trim("))
"""Functions of held-out packages, the first of which is explained while a completion is asked for."""


def run(overlay: dict[str, Any], file: Path | None) -> int:
    """0 if any suggestion was made."""
    console = Console(highlight=False)
    chosen = settings.load(overlay, file=file)
    began = time.monotonic()
    with loaded(chosen, may_borrow=True) as engine:
        status = engine.status()
        ready_s = time.monotonic() - began
        console.print(f"{status.model} on {status.device} ({status.dtype}), ready after {ready_s:.1f} s\n")
        results = [_show(console, engine, hole, chosen) for hole in HOLES]
        if any(held.name == "explain" for held in engine.status().adapters):
            asyncio.run(demo_explain.show(console, engine, chosen, EXPLAINED, cut(HOLES[0])))
    made = [is_same for is_same in results if is_same is not None]
    console.print(
        f"\n{sum(made)} of {len(HOLES)} are what really stood there. Coloured text is the model's: nothing is "
        "canned, the files are those installed beside this program, and the model has never read them."
    )
    return 0 if made else 1


def cut(hole: Hole) -> tuple[Cursor, str] | None:
    """The cursor in the file without the hole's text, and that text; None where the file is not as expected."""
    place = demo_explain.source_of(hole.module)
    text = place.read_text(encoding="utf-8") if place else ""
    begin = text.find(hole.before) + len(hole.before)
    end = text.find(hole.after, begin)
    if place is None or begin < len(hole.before) or end < 0:
        return None
    return Cursor(text[:begin] + text[end:], begin, "python", str(place), hole.module), text[begin:end]


def _show(console: Console, engine: Engine, hole: Hole, chosen: settings.Settings) -> bool | None:
    """Whether the suggestion's first line is the real one; None without a suggestion."""
    found = cut(hole)
    if found is None:
        console.print(f"{hole.title}: {hole.module} is not here or has changed\n", style="dim")
        return None
    cursor, stood = found
    began = time.monotonic()
    suggestions = asyncio.run(suggest(engine, routed(engine, chosen, cursor), chosen.inline_completion))
    milliseconds = (time.monotonic() - began) * 1000
    text = suggestions[0].text if suggestions else ""
    is_same = text.strip().split("\n")[0] == stood.strip().split("\n")[0]
    mark = Text("✓ ", style="green") if is_same else Text("  ")
    real = mark.append("really there: ", style="dim").append(stood.strip("\n"), style="green" if is_same else "")
    line = cursor.text.count("\n", 0, cursor.offset) + 1
    title = f"{hole.title}: {hole.module}, line {line}, {milliseconds:.0f} ms"
    console.print(
        Panel(Group(as_ghost(cursor, text), Text(), real), title=title, title_align="left", border_style="dim")
    )
    return is_same if text else None
