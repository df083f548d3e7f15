"""``starcoder-ls train base``: trains a GPTBigCode base model, with progress on the terminal."""

from __future__ import annotations

import os
import shutil
import statistics
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from starcoder_ls.errors import SettingsError

if TYPE_CHECKING:
    from starcoder_ls.learning.base_training import TrainingRun

_REPORTS_PER_HELD_OUT_LOSS = 25
_POSITIONS_PER_MEAN = 256


def run(
    corpus_folder: Path,
    folder: Path,
    config: dict[str, Any],
    start: Path | None,
    device: str,
    is_compiled: bool,
    workers: int,
) -> int:
    """Train as ``config`` says, from the checkpoint in ``folder`` if there is one, else from ``start`` or scratch.

    Writes the finished model in the layout of the Hub to ``folder/model``. The exit code is 0.
    Raises SettingsError if there is no corpus.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # read by OpenMP when torch is imported
    from starcoder_ls.learning import base_training, model_card, ngram_fitting, release
    from starcoder_ls.learning.corpus import Corpus

    if not (corpus_folder / "corpus.bin").is_file():
        raise SettingsError(
            f"{corpus_folder} has no corpus.bin. Create it with `starcoder-ls train corpus {corpus_folder}`."
        )
    held_out = Corpus(corpus_folder / "heldout")
    training = base_training.TrainingRun(
        folder, base_training.TrainingConfig(**config), Corpus(corpus_folder), held_out, device, is_compiled, workers
    )
    checkpoint = folder / "checkpoint.pt"
    if (restored := checkpoint if checkpoint.is_file() else start) is not None:
        training.load_checkpoint(restored)
    _train(training)
    training.export(folder / "model")
    ngram_fitting.fit_strengths(training.model, training.data).save(folder / "model")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(corpus_folder / name, folder / "model" / name)
    parameters = sum(parameter.numel() for parameter in training.model.parameters())
    card = model_card.build_model_card(training.config, training.tokens, parameters, corpus_folder)
    (folder / "model" / "README.md").write_text(card, encoding="utf-8")
    release.finish_checkpoint(folder / "model")
    return 0


def _train(training: TrainingRun) -> None:
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn(elapsed_when_finished=True))
    with Progress(*columns, console=Console(highlight=False)) as bar:
        task: TaskID = bar.add_task("starting", total=training.config.total_tokens, completed=training.tokens)
        for number, report in enumerate(training.train(), start=1):
            bar.update(
                task,
                completed=report.tokens,
                description=f"{report.tokens / 1e6:.1f}M tokens  loss {report.loss:.3f}  "
                f"middles {report.middle_loss:.3f}  {report.tokens_per_s:,.0f} tokens/s",
            )
            if number % _REPORTS_PER_HELD_OUT_LOSS == 0:
                held_out = training.measure_held_out_loss(training.config.row_tokens)
                bar.console.print(
                    f"{report.tokens / 1e6:.1f}M tokens: loss {report.loss:.3f}, of middles {report.middle_loss:.3f}; "
                    f"held out {held_out.loss:.3f}, of middles {held_out.middle_loss:.3f}"
                )
        _print_loss_by_position(bar.console, training)


def _print_loss_by_position(console: Console, training: TrainingRun) -> None:
    losses = training.measure_held_out_loss(training.config.positions).by_position
    starts = range(0, len(losses), _POSITIONS_PER_MEAN)
    means = [statistics.fmean(losses[start : start + _POSITIONS_PER_MEAN]) for start in starts]
    console.print("held-out loss by position, in steps of 256: " + "  ".join(f"{mean:.3f}" for mean in means))
