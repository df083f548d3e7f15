"""What text from other files is worth to a model: the same holes in the held-out packages, filled with and without it.

Each package is a workspace of its own and six neighbours of the file are open. Paired: each way is compared with none
hole by hole, with a bootstrap interval of the difference. Time is that of a request whose window has been read already,
as while typing; snippets in a prompt are read in it, as happens once.

    python benchmarks/run/context.py [--holes 150] [--model bundled] [--ways none,evidence] [--seed 0]
"""

from __future__ import annotations

import argparse
import asyncio
import random
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import track

from starcoder_ls.commands.eval_card import held_out
from starcoder_ls.commands.support.engine_factory import loaded_engine
from starcoder_ls.completion.cursor import Cursor
from starcoder_ls.completion.suggest import suggest
from starcoder_ls.context.context_collector import ContextCollector, ContextSite
from starcoder_ls.context.snippets import NO_CONTEXT, PromptContext
from starcoder_ls.evaluation import holes, score
from starcoder_ls.evaluation.holes import Hole, Kind
from starcoder_ls.generation import Engine
from starcoder_ls.learning.sources import Source
from starcoder_ls.settings import Context, InlineCompletion, Model, Settings

KINDS = (Kind.LINE, Kind.REST)
NEIGHBOURS, PROMPT_TOKENS, DRAWS = 6, 512, 4000


@dataclass(frozen=True, slots=True)
class Way:
    """One way to use other files: where text comes from, how many tokens of it go into the prompt."""

    name: str
    sources: tuple[str, ...] = ()
    tokens: int = 0
    is_evidence: bool = True


ALL = ("buffers", "imports", "repository")
WAYS = {
    "none": Way("the window alone", is_evidence=False),
    "own": Way("evidence: the rest of the document"),
    "buffers": Way("evidence: open files", ("buffers",)),
    "imports": Way("evidence: imported files", ("imports",)),
    "repository": Way("evidence: the repository", ("repository",)),
    "evidence": Way("evidence: all of these", ALL),
    "prompt-buffers": Way("prompt: open files", ("buffers",), PROMPT_TOKENS, is_evidence=False),
    "prompt-imports": Way("prompt: imported files", ("imports",), PROMPT_TOKENS, is_evidence=False),
    "prompt-repository": Way("prompt: the repository", ("repository",), PROMPT_TOKENS, is_evidence=False),
    "prompt": Way("prompt: all of these", ALL, PROMPT_TOKENS, is_evidence=False),
    "both": Way("prompt and evidence: all of these", ALL, PROMPT_TOKENS),
}


@dataclass(frozen=True, slots=True)
class Filled:
    is_match: bool
    similarity: float
    elapsed_ms: float
    gathering_ms: float


class Workspaces:
    """The held-out packages as folders on disk."""

    def __init__(self, sources: Sequence[Source], folder: Path) -> None:
        self._sources, self._folder = sources, folder
        for source in sources:
            path = self.path(source)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(source.text, encoding="utf-8")

    def path(self, source: Source) -> Path:
        return self._folder / source.package / source.path

    def gathered(self, hole: Hole, way: Way, engine: Engine, options: InlineCompletion, seed: int) -> PromptContext:
        if not way.is_evidence and not way.tokens:
            return NO_CONTEXT
        settings = Context(sources=way.sources, evidence=way.is_evidence)
        surroundings = ContextCollector([self._folder / hole.source.package], settings)
        surroundings.workspace.is_complete.wait()
        own = self.path(hole.source)
        beside = [one for one in self._sources if self.path(one).parent == own.parent and one is not hole.source]
        random.Random(f"{seed}/{own}").shuffle(beside)
        for source in beside[:NEIGHBOURS]:
            surroundings.opened(str(self.path(source)), str(self.path(source)), source.text)
        place = ContextSite(str(own), str(own), hole.text, hole.start, int(options.prompt_tokens * 3.3))
        try:
            return surroundings.gathered(place, way.tokens, engine.count_tokens)
        finally:
            surroundings.close()


async def filled(engine: Engine, spaces: Workspaces, hole: Hole, way: Way, seed: int) -> Filled:
    options = InlineCompletion()
    began_s = time.perf_counter()
    around = spaces.gathered(hole, way, engine, options, seed)
    gathered_s = time.perf_counter()
    document = f"{way.name}/{hole.source.path}/{hole.start}"
    found = await suggest(
        engine, Cursor(hole.text, hole.start, "python", hole.source.path, document, context=around), options
    )
    text = found[0].text if found else ""
    elapsed_ms = (time.perf_counter() - gathered_s) * 1000
    similarity = score.edit_similarity(text, hole.middle)
    return Filled(score.is_first_line_match(text, hole.middle), similarity, elapsed_ms, (gathered_s - began_s) * 1000)


def difference(ours: Sequence[float], theirs: Sequence[float]) -> str:
    """Mean difference in points, with the 95 % interval of paired bootstrap draws."""
    pairs = [a - b for a, b in zip(ours, theirs, strict=True)]
    dice = random.Random(0)
    means = sorted(statistics.fmean(dice.choices(pairs, k=len(pairs))) for _ in range(DRAWS))
    low, high = means[int(0.025 * DRAWS)], means[int(0.975 * DRAWS)]
    return f"{100 * statistics.fmean(pairs):+.1f} ({100 * low:+.1f} to {100 * high:+.1f})"


def row(kind: str, way: Way, ours: Sequence[Filled], theirs: Sequence[Filled]) -> str:
    matches = score.share([one.is_match for one in ours])
    similarity = score.mean([one.similarity for one in ours])
    by_match = difference([one.is_match for one in ours], [one.is_match for one in theirs])
    by_similarity = difference([one.similarity for one in ours], [one.similarity for one in theirs])
    pairs = zip(ours, theirs, strict=True)
    ratio = statistics.median(mine.elapsed_ms / other.elapsed_ms for mine, other in pairs)
    cells = (kind, way.name, f"{100 * matches.value:.1f}", by_match, f"{100 * similarity.value:.1f}", by_similarity)
    return "| " + " | ".join((*cells, f"{ratio:.2f}")) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--holes", type=int, default=150)
    parser.add_argument("--model", default="bundled")
    parser.add_argument("--ways", default=",".join(WAYS))
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    sources = held_out()
    cut = {kind: holes.drawn(sources, kind, given.holes, given.seed) for kind in KINDS}
    names = ["none", *(name for name in given.ways.split(",") if name != "none")]
    answers: dict[tuple[str, str], list[Filled]] = {(kind, name): [] for name in names for kind in KINDS}
    print("| hole | other files | first line exact, % | against none, points (95 %) | edit similarity, % "
          "| against none (95 %) | time, of none |\n|---|---|---|---|---|---|---|", flush=True)  # fmt: skip
    with (
        tempfile.TemporaryDirectory() as folder,
        loaded_engine(Settings(model=Model(name=given.model)), shows_progress=False) as engine,
    ):
        spaces = Workspaces(sources, Path(folder))
        turns = [
            (kind, hole) for pair in zip(*cut.values(), strict=True) for kind, hole in zip(KINDS, pair, strict=True)
        ]
        for kind, hole in track(turns, console=Console(stderr=True)):  # all ways in turn: load changes by the minute
            asyncio.run(
                filled(engine, spaces, hole, WAYS["none"], given.seed)
            )  # else the first way reads for the others
            for name in names:
                done = asyncio.run(filled(engine, spaces, hole, WAYS[name], given.seed))
                answers[kind, name].append(done)
    for kind in KINDS:
        for name in names:
            print(row(kind, WAYS[name], answers[kind, name], answers[kind, "none"]))


if __name__ == "__main__":
    main()
