"""Everything on against what a plain client does with the same model: prefix and suffix, cut after the first line.

    python benchmarks/plain_prompt.py [HOLES_OF_EACH_KIND [SEED]]

The plain client sends the window in the order of the model cards (PSM), or in SPM, half-typed words as they are, and
shows the first line that says something. Both sides answer the same holes of the held-out packages, 25 by turns. Prints
Markdown: first lines exact, the ratio with a paired bootstrap interval, and the time of a request.
"""

from __future__ import annotations

import asyncio
import random
import statistics
import sys
import time
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace

from starcoder_ls import settings
from starcoder_ls.commands.evaluate import held_out
from starcoder_ls.commands.headless import loaded, stderr
from starcoder_ls.completion.suggest import Cursor, question, suggest
from starcoder_ls.evaluation import card, score
from starcoder_ls.evaluation.holes import Hole, Kind
from starcoder_ls.generation import Engine

DRAWS = 4000
BLOCK = 25
"""Holes in a row by one way: by then the engine has forgotten what another way had it read of the same document."""
WAYS = ("everything on", "plain, PSM", "plain, SPM")


@dataclass
class Tried:
    """What one way did at each hole, in order."""

    is_exact: list[bool] = field(default_factory=list)
    alike: list[float] = field(default_factory=list)
    is_silent: list[bool] = field(default_factory=list)
    spent_ms: list[float] = field(default_factory=list)


def first_line(text: str) -> str:
    return next((line for line in text.split("\n") if line.strip()), "")


def has_first_line(text: str) -> int | None:
    """The plain client's stop rule."""
    said = len(text) - len(text.lstrip("\n"))
    end = text.find("\n", said)
    return end if end >= 0 and text[:end].strip() else None


async def plain(engine: Engine, cursor: Cursor, options: settings.InlineCompletion) -> str:
    text = ""
    asked = replace(question(engine, cursor, options).request(options), stop=has_first_line)
    async with aclosing(engine.stream(asked)) as stream:
        async for chunk in stream:
            text += chunk.text
    return first_line(text)


async def answered(engine: Engine, hole: Hole, way: str, number: int) -> str:
    cursor = Cursor(hole.text, hole.start, "python", hole.source.path, f"{way} {number}")
    options = settings.InlineCompletion()
    if way == WAYS[0]:
        found = await suggest(engine, cursor, options)
        return found[0].text if found else ""
    order = "psm" if way.endswith("PSM") else "spm"
    return await plain(engine, cursor, options.model_copy(update={"heal_words": False, "fim_order": order}))


def ratio(ours: Sequence[bool], theirs: Sequence[bool]) -> str:
    """Ours divided by theirs over the same holes, with a 95 % bootstrap interval."""
    draw = random.Random(0)
    found = []
    for _ in range(DRAWS):
        picked = draw.choices(range(len(ours)), k=len(ours))
        found.append(sum(ours[at] for at in picked) / max(sum(theirs[at] for at in picked), 1))
    found.sort()
    low, high = found[DRAWS * 25 // 1000], found[DRAWS * 975 // 1000]
    return f"{sum(ours) / max(sum(theirs), 1):.2f} ({low:.2f}–{high:.2f})"


def rows(name: str, tried: dict[str, list[Tried]]) -> list[str]:
    lines = []
    ours = [one for part in tried[WAYS[0]] for one in part.is_exact]
    for way in WAYS:
        exact = [one for part in tried[way] for one in part.is_exact]
        alike = score.mean([one for part in tried[way] for one in part.alike])
        silent = [one for part in tried[way] for one in part.is_silent]
        spent_ms = statistics.median([one for part in tried[way] for one in part.spent_ms])
        against = "1" if way == WAYS[0] else ratio(ours, exact)
        cells = (name, way, score.share(exact), against, alike, f"{100 * sum(silent) / len(silent):.0f}")
        lines.append("| " + " | ".join(map(str, (*cells, f"{spent_ms:.0f}"))) + " |")
    return lines


def main(count: int = 200, seed: int = 0) -> None:
    cut = card.drawn(held_out(), count, seed)
    tried = {way: {kind: Tried() for kind in cut} for way in WAYS}
    with loaded(settings.load({}), is_shown=False) as engine, stderr.status("holes") as line:
        for kind, holes in cut.items():
            for first in range(0, len(holes), BLOCK):
                for turn in range(len(WAYS)):
                    way = WAYS[(turn + first // BLOCK) % len(WAYS)]
                    line.update(f"{kind} {first} {way}")
                    for number, hole in enumerate(holes[first : first + BLOCK], first):
                        began_s = time.perf_counter()
                        text = asyncio.run(answered(engine, hole, way, number))
                        one = tried[way][kind]
                        one.spent_ms.append((time.perf_counter() - began_s) * 1000)
                        one.is_exact.append(score.is_first_line_match(text, hole.middle))
                        one.alike.append(score.edit_similarity(text, hole.middle))
                        one.is_silent.append(not text.strip())
    print(f"{sum(map(len, cut.values()))} holes, seed {seed}\n")
    columns = ("hole", "way", "first line exact, % (95 %)", "ours to theirs (95 %, paired)", "edit similarity, %")
    print("| " + " | ".join((*columns, "none, %", "p50, ms")) + " |")
    print("|---|---|---|---|---|---|---|")
    lines = [kind for kind in cut if kind is not Kind.LINES]
    print("\n".join(rows("all but blocks", {way: [tried[way][kind] for kind in lines] for way in WAYS})))
    for kind in cut:
        print("\n".join(rows(kind, {way: [tried[way][kind]] for way in WAYS})))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
