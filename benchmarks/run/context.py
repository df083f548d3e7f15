"""What text from other files improves: the same holes in the held-out packages, filled with and without it.

Each package is a workspace, and six files of the same folder are open. Each variant is compared with none hole by hole,
with a bootstrap interval of the difference. The time is that of a request whose window is in the prefix cache, as while
typing; snippets in the prompt are not, as at their first use.

    python benchmarks/run/context.py [--holes 150] [--model bundled] [--variants none,evidence] [--seed 0]
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

from starcoder_ls.commands.eval_card import held_out_sources
from starcoder_ls.commands.support.engine_factory import loaded_engine
from starcoder_ls.completion.cursor import Cursor
from starcoder_ls.completion.suggest import suggest
from starcoder_ls.context.context_collector import ContextCollector
from starcoder_ls.context.context_request import ContextRequest
from starcoder_ls.context.snippets import NO_CONTEXT, PromptContext
from starcoder_ls.context.source_files import Source
from starcoder_ls.evaluation import holes, score
from starcoder_ls.evaluation.holes import Hole, Kind
from starcoder_ls.generation import Engine
from starcoder_ls.settings import Context, InlineCompletion, Model, Settings

KINDS = (Kind.LINE, Kind.REST)
MAX_OPEN_SIBLINGS, PROMPT_TOKENS, BOOTSTRAP_SAMPLES = 6, 512, 4000


@dataclass(frozen=True, slots=True)
class Variant:
    """One use of other files: their sources, their tokens in the prompt, and whether n-grams of them are looked up."""

    name: str
    sources: tuple[str, ...] = ()
    tokens: int = 0
    has_lookup: bool = True


ALL = ("buffers", "imports", "repository")
VARIANTS = {
    "none": Variant("the window alone", has_lookup=False),
    "own": Variant("lookup: the rest of the document"),
    "buffers": Variant("lookup: open files", ("buffers",)),
    "imports": Variant("lookup: imported files", ("imports",)),
    "repository": Variant("lookup: the repository", ("repository",)),
    "evidence": Variant("lookup: all of these", ALL),
    "prompt-buffers": Variant("prompt: open files", ("buffers",), PROMPT_TOKENS, has_lookup=False),
    "prompt-imports": Variant("prompt: imported files", ("imports",), PROMPT_TOKENS, has_lookup=False),
    "prompt-repository": Variant("prompt: the repository", ("repository",), PROMPT_TOKENS, has_lookup=False),
    "prompt": Variant("prompt: all of these", ALL, PROMPT_TOKENS, has_lookup=False),
    "both": Variant("prompt and lookup: all of these", ALL, PROMPT_TOKENS),
}


@dataclass(frozen=True, slots=True)
class Filled:
    is_match: bool
    similarity: float
    elapsed_ms: float
    collecting_ms: float


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

    def collect(
        self, hole: Hole, variant: Variant, engine: Engine, options: InlineCompletion, seed: int
    ) -> PromptContext:
        if not variant.has_lookup and not variant.tokens:
            return NO_CONTEXT
        settings = Context(sources=variant.sources, evidence=variant.has_lookup)
        collector = ContextCollector([self._folder / hole.source.package], settings)
        collector.workspace.build_complete.wait()
        path = self.path(hole.source)
        siblings = [
            source for source in self._sources if self.path(source).parent == path.parent and source is not hole.source
        ]
        random.Random(f"{seed}/{path}").shuffle(siblings)
        for source in siblings[:MAX_OPEN_SIBLINGS]:
            collector.open_document(str(self.path(source)), str(self.path(source)), source.text)
        request = ContextRequest(str(path), str(path), hole.text, hole.start, int(options.prompt_tokens * 3.3))
        try:
            return collector.collect(request, variant.tokens, engine.count_tokens)
        finally:
            collector.close()


async def fill(engine: Engine, workspaces: Workspaces, hole: Hole, variant: Variant, seed: int) -> Filled:
    options = InlineCompletion()
    started_s = time.perf_counter()
    context = workspaces.collect(hole, variant, engine, options, seed)
    collected_s = time.perf_counter()
    document = f"{variant.name}/{hole.source.path}/{hole.start}"
    found = await suggest(
        engine, Cursor(hole.text, hole.start, "python", hole.source.path, document, context=context), options
    )
    text = found[0].text if found else ""
    elapsed_ms = (time.perf_counter() - collected_s) * 1000
    similarity = score.edit_similarity(text, hole.middle)
    return Filled(
        score.is_first_line_match(text, hole.middle), similarity, elapsed_ms, (collected_s - started_s) * 1000
    )


def difference(first: Sequence[float], second: Sequence[float]) -> str:
    """Mean difference in points, with the 95 % interval of paired bootstrap samples."""
    pairs = [a - b for a, b in zip(first, second, strict=True)]
    rng = random.Random(0)
    means = sorted(statistics.fmean(rng.choices(pairs, k=len(pairs))) for _ in range(BOOTSTRAP_SAMPLES))
    low, high = means[int(0.025 * BOOTSTRAP_SAMPLES)], means[int(0.975 * BOOTSTRAP_SAMPLES)]
    return f"{100 * statistics.fmean(pairs):+.1f} ({100 * low:+.1f} to {100 * high:+.1f})"


def row(kind: str, variant: Variant, results: Sequence[Filled], baseline: Sequence[Filled]) -> str:
    matches = score.estimate_proportion([result.is_match for result in results])
    similarity = score.estimate_mean([result.similarity for result in results])
    by_match = difference([result.is_match for result in results], [result.is_match for result in baseline])
    by_similarity = difference([result.similarity for result in results], [result.similarity for result in baseline])
    pairs = zip(results, baseline, strict=True)
    ratio = statistics.median(result.elapsed_ms / other.elapsed_ms for result, other in pairs)
    cells = (kind, variant.name, f"{100 * matches.value:.1f}", by_match, f"{100 * similarity.value:.1f}", by_similarity)
    return "| " + " | ".join((*cells, f"{ratio:.2f}")) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--holes", type=int, default=150)
    parser.add_argument("--model", default="bundled")
    parser.add_argument("--variants", default=",".join(VARIANTS))
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    sources = held_out_sources()
    holes_by_kind = {kind: holes.draw_holes(sources, kind, arguments.holes, arguments.seed) for kind in KINDS}
    names = ["none", *(name for name in arguments.variants.split(",") if name != "none")]
    results: dict[tuple[str, str], list[Filled]] = {(kind, name): [] for name in names for kind in KINDS}
    print("| hole | other files | first line exact, % | against none, points (95 %) | edit similarity, % "
          "| against none (95 %) | time, of none |\n|---|---|---|---|---|---|---|", flush=True)  # fmt: skip
    model = Settings(model=Model(name=arguments.model))
    with tempfile.TemporaryDirectory() as folder, loaded_engine(model, shows_progress=False) as engine:
        workspaces = Workspaces(sources, Path(folder))
        by_turns = [
            (kind, hole)
            for pair in zip(*holes_by_kind.values(), strict=True)
            for kind, hole in zip(KINDS, pair, strict=True)
        ]
        for kind, hole in track(by_turns, console=Console(stderr=True)):
            # The first request fills the prefix cache. All variants take turns: the load changes by the minute.
            asyncio.run(fill(engine, workspaces, hole, VARIANTS["none"], arguments.seed))
            for name in names:
                filled = asyncio.run(fill(engine, workspaces, hole, VARIANTS[name], arguments.seed))
                results[kind, name].append(filled)
    for kind in KINDS:
        for name in names:
            print(row(kind, VARIANTS[name], results[kind, name], results[kind, "none"]))


if __name__ == "__main__":
    main()
