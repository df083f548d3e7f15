"""Everything on against what a plain client does with the same model: prefix and suffix, cut after the first line.

    python benchmarks/run/plain_prompt.py [HOLES_OF_EACH_KIND [SEED]]

The plain client sends the window in the order of the model cards (PSM), or in SPM, half-typed words as they are, and
shows the first line that says something. All answer the same holes of the held-out packages; the first two by turns,
for the time. Prints Markdown: first lines exact, the ratio with a paired bootstrap interval, the time of a request.
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
from starcoder_ls.commands.eval_card import held_out
from starcoder_ls.commands.support.console import stderr
from starcoder_ls.commands.support.engine_factory import loaded_engine
from starcoder_ls.completion.cursor import Cursor
from starcoder_ls.completion.prompt.build_prompt import build_prompt
from starcoder_ls.completion.suggest import suggest
from starcoder_ls.evaluation import score, score_card
from starcoder_ls.evaluation.holes import Hole, Kind
from starcoder_ls.generation import Engine

DRAWS = 4000
WAYS = ("everything on", "plain, PSM", "plain, SPM")


@dataclass
class Tried:
    """What one way did at each hole, in order."""

    is_exact: list[bool] = field(default_factory=list)
    alike: list[float] = field(default_factory=list)
    is_silent: list[bool] = field(default_factory=list)
    spent_ms: list[float] = field(default_factory=list)

    def note(self, engine: Engine, hole: Hole, way: str) -> None:
        began_s = time.perf_counter()
        text = asyncio.run(answered(engine, hole, way))
        self.spent_ms.append((time.perf_counter() - began_s) * 1000)
        self.is_exact.append(score.is_first_line_match(text, hole.middle))
        self.alike.append(score.edit_similarity(text, hole.middle))
        self.is_silent.append(not text.strip())


def first_line(text: str) -> str:
    return next((line for line in text.split("\n") if line.strip()), "")


def has_first_line(text: str) -> int | None:
    """The plain client's stop rule."""
    said = len(text) - len(text.lstrip("\n"))
    end = text.find("\n", said)
    return end if end >= 0 and text[:end].strip() else None


async def plain(engine: Engine, cursor: Cursor, options: settings.InlineCompletion) -> str:
    text = ""
    asked = replace(build_prompt(engine, cursor, options).completion_request(options), stop=has_first_line)
    async with aclosing(engine.stream(asked)) as stream:
        async for chunk in stream:
            text += chunk.text
    return first_line(text)


async def answered(engine: Engine, hole: Hole, way: str) -> str:
    cursor = Cursor(hole.text, hole.start, "python", hole.source.path, f"{way} {hole.source.path} {hole.start}")
    options = settings.InlineCompletion(budget_ms=60_000)  # a busy machine does not change a score
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
        spent_ms = [one for part in tried[way] for one in part.spent_ms]
        first_ms = [one for part in tried[WAYS[0]] for one in part.spent_ms]
        times = [one / other for one, other in zip(spent_ms, first_ms, strict=True)]
        spent = f"{statistics.median(spent_ms):.0f} ({statistics.median(times):.2f})" if way in WAYS[:2] else ""
        against = "1" if way == WAYS[0] else ratio(ours, exact)
        cells = (name, way, score.share(exact), against, alike, f"{100 * sum(silent) / len(silent):.0f}")
        lines.append("| " + " | ".join(map(str, (*cells, spent))) + " |")
    return lines


def main(count: int = 200, seed: int = 0) -> None:
    cut = score_card.drawn(held_out(), count, seed)
    tried = {way: {kind: Tried() for kind in cut} for way in WAYS}
    with loaded_engine(settings.load({}), shows_progress=False) as engine, stderr.status("holes") as line:
        for kind, holes in cut.items():
            for number, hole in enumerate(holes):
                for way in WAYS[:2] if number % 2 else WAYS[1::-1]:
                    line.update(f"{kind} {number}")
                    tried[way][kind].note(engine, hole, way)
        for kind, holes in cut.items():  # apart: it would find read what the first way has read
            for hole in holes:
                line.update(f"{kind} {WAYS[2]}")
                tried[WAYS[2]][kind].note(engine, hole, WAYS[2])
    print(f"{sum(map(len, cut.values()))} holes, seed {seed}\n")
    columns = ("hole", "way", "first line exact, % (95 %)", "ours to theirs (95 %, paired)", "edit similarity, %")
    print("| " + " | ".join((*columns, "none, %", "p50, ms (median of its ratio to ours)")) + " |")
    print("|---|---|---|---|---|---|---|")
    lines = [kind for kind in cut if kind is not Kind.LINES]
    print("\n".join(rows("all but blocks", {way: [tried[way][kind] for kind in lines] for way in WAYS})))
    for kind in cut:
        print("\n".join(rows(kind, {way: [tried[way][kind]] for way in WAYS})))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
