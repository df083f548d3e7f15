"""``starcoder-ls eval card``: the score card of a model on the held-out packages installed beside it."""

from __future__ import annotations

import asyncio
import importlib.metadata
import shutil
import statistics
import tempfile
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress

from starcoder_ls import settings
from starcoder_ls.commands.support.engines import loaded, stderr
from starcoder_ls.errors import SettingsError
from starcoder_ls.evaluation import score_card
from starcoder_ls.evaluation.holes import Hole, Kind
from starcoder_ls.generation import Engine
from starcoder_ls.learning import sources

_WAYS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("model, SPM", "auto", {"fim_order": "spm"}),
    ("model, PSM", "auto", {"fim_order": "psm"}),
    ("model, PSM, the cursor's line last", "auto", {"fim_order": "psm_line"}),
    ("model, SPM, without the document's n-grams", "off", {"fim_order": "spm"}),
)


def run(overlay: dict[str, Any], file: Path | None, count: int, seed: int, shown: int) -> int:
    """Print the card as Markdown."""
    chosen = settings.load(overlay, file=file)
    cut = score_card.drawn(held_out(), count, seed)
    rows = score_card.by_copying(cut)
    with Progress(console=stderr) as bar:
        for way, ngrams, options in _WAYS:
            task = bar.add_task(way, total=sum(map(len, cut.values())))
            model = chosen.model.model_copy(update={"document_ngrams": ngrams})
            tried = chosen.model_copy(update={"model": model})
            patient = {"budget_ms": 600_000}  # a busy machine must not change the score
            inline = chosen.inline_completion.model_copy(update=options | patient)
            with loaded(tried, is_shown=False) as engine:
                asyncio.run(_fill(engine, cut, way, inline, rows, bar, task))
    console = Console(soft_wrap=True, highlight=False, markup=False)
    console.print(score_card.table(rows))
    console.print("\n" + _losses(chosen.model))
    if shown:
        console.print("\n" + score_card.examples(rows, _WAYS[0][0], shown))
    return 0


def held_out() -> list[sources.Source]:
    """Hand-written files of the held-out packages that are installed beside this program."""
    found = []
    for name in sources.HELD_OUT:
        try:
            distribution = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            continue
        package = sources.read_package(distribution)
        if package is not None:
            found += list(sources.usable_sources(package, 10_000_000))
    if not found:
        raise SettingsError(f"None of the held-out packages is installed here: {', '.join(sources.HELD_OUT)}.")
    return found


def _losses(model: settings.Model) -> str:
    """What the model makes of the held-out files as training would read them, alone and without n-grams."""
    from tokenizers import Tokenizer

    from starcoder_ls.engine.loading import load_model
    from starcoder_ls.engine.loading.progress import ignore_progress
    from starcoder_ls.learning import corpus, loss

    loaded_model = load_model.load(model.model_copy(update={"document_ngrams": "off"}), ignore_progress)
    with tempfile.TemporaryDirectory() as place, stderr.status("losses"):
        folder = Path(place)
        shutil.copy(loaded_model.checkpoint.folder / "tokenizer.json", folder)
        corpus.write_corpus(folder, Tokenizer.from_file(str(folder / "tokenizer.json")), held_out(), [])
        data = corpus.Corpus(folder)
        full_tokens = min(loaded_model.context_tokens, 2048)
        tokens = min(512, full_tokens)
        short, full = (
            loss.measure_held_out_loss(loaded_model.model, data, length, 64) for length in (tokens, full_tokens)
        )
    parts = [statistics.fmean(full.by_position[i : i + 256]) for i in range(0, len(full.by_position), 256)]
    return (
        f"Loss on the same packages, nats a token: {short.loss:.2f} in rows of {tokens}, {short.middle_loss:.2f} on "
        f"middles; by position in steps of 256: {' '.join(f'{part:.2f}' for part in parts)}."
    )


async def _fill(
    engine: Engine,
    cut: dict[Kind, list[Hole]],
    way: str,
    options: settings.InlineCompletion,
    rows: list[score_card.Row],
    bar: Progress,
    task: Any,
) -> None:
    async for row, is_complete in score_card.by_engine(engine, cut, way, options):
        bar.advance(task)
        if is_complete:
            rows.append(row)
