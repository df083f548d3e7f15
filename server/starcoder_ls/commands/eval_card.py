"""``starcoder-ls eval card``: the score card of a model on the held-out packages that are installed."""

from __future__ import annotations

import asyncio
import functools
import importlib.metadata
import shutil
import statistics
import tempfile
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress

from starcoder_ls import settings
from starcoder_ls.commands.support.adapter_routing import with_routed_adapter
from starcoder_ls.commands.support.console import stderr
from starcoder_ls.commands.support.engine_factory import loaded_engine
from starcoder_ls.context.source_files import Source
from starcoder_ls.errors import SettingsError
from starcoder_ls.evaluation import score_card
from starcoder_ls.evaluation.holes import Hole, Kind
from starcoder_ls.generation import Engine
from starcoder_ls.learning import sources

_CONFIGURATIONS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("model, SPM", "auto", {"fim_order": "spm"}),
    ("model, PSM", "auto", {"fim_order": "psm"}),
    ("model, PSM, the cursor's line last", "auto", {"fim_order": "psm_line"}),
    ("model, SPM, without the document's n-grams", "off", {"fim_order": "spm"}),
)


def run(overlay: dict[str, Any], settings_file: Path | None, holes_per_kind: int, seed: int, examples: int) -> int:
    """Print the card as Markdown, with ``examples`` answers. The exit code is 0.

    Raises ModelError, SettingsError.
    """
    config = settings.load(overlay, file=settings_file)
    holes = score_card.draw_holes(held_out_sources(), holes_per_kind, seed)
    rows = score_card.complete_with_baselines(holes)
    with Progress(console=stderr) as bar:
        for name, ngrams, options in _CONFIGURATIONS:
            task = bar.add_task(name, total=sum(map(len, holes.values())))
            model = config.model.model_copy(update={"document_ngrams": ngrams})
            no_time_limit = {"budget_ms": 600_000}  # a busy machine must not change the score
            inline = config.inline_completion.model_copy(update=options | no_time_limit)
            changed = config.model_copy(update={"model": model, "inline_completion": inline})
            with loaded_engine(changed, shows_progress=False) as engine:
                asyncio.run(_fill_holes(engine, changed, holes, name, rows, bar, task))
    console = Console(soft_wrap=True, highlight=False, markup=False)
    console.print(score_card.render_table(rows))
    console.print("\n" + _describe_losses(config.model))
    if examples:
        console.print("\n" + score_card.render_examples(rows, _CONFIGURATIONS[0][0], examples))
    return 0


def held_out_sources() -> list[Source]:
    """Hand-written files of the held-out packages that are installed. Raises SettingsError if there are none."""
    held_out = []
    for name in sources.HELD_OUT:
        try:
            distribution = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            continue
        package = sources.read_package(distribution)
        if package is not None:
            held_out += list(sources.usable_sources(package, 10_000_000))
    if not held_out:
        raise SettingsError(f"None of the held-out packages is installed here: {', '.join(sources.HELD_OUT)}.")
    return held_out


def _describe_losses(model: settings.Model) -> str:
    """The loss of the model, without n-grams, on the held-out files, prepared as for training."""
    from tokenizers import Tokenizer

    from starcoder_ls.engine import assembly
    from starcoder_ls.engine.loading.progress import ignore_progress
    from starcoder_ls.learning import corpus, loss

    loaded_model = assembly.load(model.model_copy(update={"document_ngrams": "off"}), ignore_progress)
    with tempfile.TemporaryDirectory() as folder_name, stderr.status("losses"):
        folder = Path(folder_name)
        shutil.copy(loaded_model.checkpoint.folder / "tokenizer.json", folder)
        corpus.write_corpus(folder, Tokenizer.from_file(str(folder / "tokenizer.json")), held_out_sources(), [])
        data = corpus.Corpus(folder)
        full_tokens = min(loaded_model.context_tokens, 2048)
        tokens = min(512, full_tokens)
        short, full = (
            loss.measure_held_out_loss(loaded_model.runner.model, data, length, 64) for length in (tokens, full_tokens)
        )
    parts = [statistics.fmean(full.by_position[i : i + 256]) for i in range(0, len(full.by_position), 256)]
    return (
        f"Loss on the same packages, nats per token: {short.loss:.2f} in rows of {tokens}, {short.middle_loss:.2f} on "
        f"middles; by position, in steps of 256: {' '.join(f'{part:.2f}' for part in parts)}."
    )


async def _fill_holes(
    engine: Engine,
    config: settings.Settings,
    holes: dict[Kind, list[Hole]],
    name: str,
    rows: list[score_card.Row],
    bar: Progress,
    task: Any,
) -> None:
    with_adapter = functools.partial(with_routed_adapter, engine, config)
    answers = score_card.complete_with_engine(engine, holes, name, config.inline_completion, with_adapter)
    async for row, is_complete in answers:
        bar.advance(task)
        if is_complete:
            rows.append(row)
