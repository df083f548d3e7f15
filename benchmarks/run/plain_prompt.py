"""The server against a plain client of the same model, which sends prefix and suffix and shows the first line.

    python benchmarks/run/plain_prompt.py [HOLES_OF_EACH_KIND [SEED]]

The plain client sends the window in the order of the model cards (PSM) or in SPM, without token healing, and shows the
first line that is not blank. All fill the same holes of the held-out packages; the server and PSM take turns, so that
their times are comparable. Prints Markdown: exact first lines, their ratio with a paired bootstrap interval, and the
time of a request.
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
from starcoder_ls.commands.eval_card import held_out_sources
from starcoder_ls.commands.support.console import stderr
from starcoder_ls.commands.support.engine_factory import loaded_engine
from starcoder_ls.completion.cursor import Cursor
from starcoder_ls.completion.prompt.build_prompt import build_prompt
from starcoder_ls.completion.suggest import suggest
from starcoder_ls.evaluation import score, score_card
from starcoder_ls.evaluation.holes import Hole, Kind
from starcoder_ls.generation import Engine

BOOTSTRAP_SAMPLES = 4000
CLIENTS = SERVER, PLAIN_PSM, PLAIN_SPM = "everything on", "plain, PSM", "plain, SPM"


@dataclass
class Results:
    """The results of one client for each hole, in order."""

    is_exact: list[bool] = field(default_factory=list)
    similarities: list[float] = field(default_factory=list)
    is_empty: list[bool] = field(default_factory=list)
    elapsed_ms: list[float] = field(default_factory=list)

    def add(self, engine: Engine, hole: Hole, client: str) -> None:
        started_s = time.perf_counter()
        text = asyncio.run(fill(engine, hole, client))
        self.elapsed_ms.append((time.perf_counter() - started_s) * 1000)
        self.is_exact.append(score.is_first_line_match(text, hole.middle))
        self.similarities.append(score.edit_similarity(text, hole.middle))
        self.is_empty.append(not text.strip())


def first_line(text: str) -> str:
    return next((line for line in text.split("\n") if line.strip()), "")


def stop_after_first_line(text: str) -> int | None:
    """The plain client's stop rule."""
    start = len(text) - len(text.lstrip("\n"))
    end = text.find("\n", start)
    return end if end >= 0 and text[:end].strip() else None


async def fill_plainly(engine: Engine, cursor: Cursor, options: settings.InlineCompletion) -> str:
    text = ""
    request = build_prompt(engine, cursor, options).completion_request(options)
    async with aclosing(engine.stream(replace(request, stop=stop_after_first_line))) as stream:
        async for chunk in stream:
            text += chunk.text
    return first_line(text)


async def fill(engine: Engine, hole: Hole, client: str) -> str:
    cursor = Cursor(hole.text, hole.start, "python", hole.source.path, f"{client} {hole.source.path} {hole.start}")
    options = settings.InlineCompletion(budget_ms=60_000)  # so that load of the machine does not change a score
    if client == SERVER:
        found = await suggest(engine, cursor, options)
        return found[0].text if found else ""
    order = "psm" if client == PLAIN_PSM else "spm"
    return await fill_plainly(engine, cursor, options.model_copy(update={"heal_words": False, "fim_order": order}))


def ratio(first: Sequence[bool], second: Sequence[bool]) -> str:
    """The sum of ``first`` divided by that of ``second`` over the same holes, with a 95 % bootstrap interval."""
    rng = random.Random(0)
    ratios = []
    for _ in range(BOOTSTRAP_SAMPLES):
        sample = rng.choices(range(len(first)), k=len(first))
        ratios.append(sum(first[index] for index in sample) / max(sum(second[index] for index in sample), 1))
    ratios.sort()
    low, high = ratios[BOOTSTRAP_SAMPLES * 25 // 1000], ratios[BOOTSTRAP_SAMPLES * 975 // 1000]
    return f"{sum(first) / max(sum(second), 1):.2f} ({low:.2f}–{high:.2f})"


def rows(name: str, results: dict[str, list[Results]]) -> list[str]:
    """The Markdown rows of all clients for one or more kinds of holes."""
    lines = []
    server_exact = [value for part in results[SERVER] for value in part.is_exact]
    server_ms = [value for part in results[SERVER] for value in part.elapsed_ms]
    for client in CLIENTS:
        exact = [value for part in results[client] for value in part.is_exact]
        similarity = score.estimate_mean([value for part in results[client] for value in part.similarities])
        empty = [value for part in results[client] for value in part.is_empty]
        elapsed_ms = [value for part in results[client] for value in part.elapsed_ms]
        ratios = [value / other for value, other in zip(elapsed_ms, server_ms, strict=True)]
        has_times = client in (SERVER, PLAIN_PSM)
        times = f"{statistics.median(elapsed_ms):.0f} ({statistics.median(ratios):.2f})" if has_times else ""
        against = "1" if client == SERVER else ratio(server_exact, exact)
        cells = (
            name,
            client,
            score.estimate_proportion(exact),
            against,
            similarity,
            f"{100 * sum(empty) / len(empty):.0f}",
        )
        lines.append("| " + " | ".join(map(str, (*cells, times))) + " |")
    return lines


def main(count: int = 200, seed: int = 0) -> None:
    holes_by_kind = score_card.draw_holes(held_out_sources(), count, seed)
    results = {client: {kind: Results() for kind in holes_by_kind} for client in CLIENTS}
    with loaded_engine(settings.load({}), shows_progress=False) as engine, stderr.status("holes") as status_line:
        for kind, holes in holes_by_kind.items():
            for number, hole in enumerate(holes):
                for client in (SERVER, PLAIN_PSM) if number % 2 else (PLAIN_PSM, SERVER):
                    status_line.update(f"{kind} {number}")
                    results[client][kind].add(engine, hole, client)
        for kind, holes in holes_by_kind.items():  # separately: the server would have filled its prefix cache
            for hole in holes:
                status_line.update(f"{kind} {PLAIN_SPM}")
                results[PLAIN_SPM][kind].add(engine, hole, PLAIN_SPM)
    print(f"{sum(map(len, holes_by_kind.values()))} holes, seed {seed}\n")
    columns = ("hole", "client", "first line exact, % (95 %)", "server to client (95 %, paired)", "edit similarity, %")
    print("| " + " | ".join((*columns, "none, %", "p50, ms (median of its ratio to the server)")) + " |")
    print("|---|---|---|---|---|---|---|")
    line_kinds = [kind for kind in holes_by_kind if kind is not Kind.LINES]
    by_client = {client: [results[client][kind] for kind in line_kinds] for client in CLIENTS}
    print("\n".join(rows("all but blocks", by_client)))
    for kind in holes_by_kind:
        print("\n".join(rows(kind, {client: [results[client][kind]] for client in CLIENTS})))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
