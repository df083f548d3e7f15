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
_MAX_WORKERS = 12


def run(
    corpus_folder: Path,
    folder: Path,
    config: dict[str, Any],
    start: Path | None,
    device: str,
    is_compiled: bool,
    workers: int | None,
    part_bytes: int = 0,
) -> int:
    """Train as ``config`` says, from the checkpoint in ``folder`` if there is one, else from ``start`` or scratch.

    ``corpus_folder`` can be an archive of ``train pack``. Writes the finished model in the layout of the Hub to
    ``folder/model``, and with ``part_bytes`` an archive of it in parts of that size to ``folder/parts``. The exit code
    is 0. Raises SettingsError if there is no corpus.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # read by OpenMP when torch is imported
    from starcoder_ls.learning import base_training, model_card, ngram_fitting, release
    from starcoder_ls.learning.corpus import Corpus

    corpus_folder = _unpacked(corpus_folder, folder)
    data, held_out = Corpus(corpus_folder), Corpus(corpus_folder / "heldout")
    config = _complete(config, folder, device, data.vocabulary_size)
    if workers is None:
        workers = 1 if device == "cpu" else max(1, min(_MAX_WORKERS, (os.cpu_count() or 2) - 2))
    training = base_training.TrainingRun(
        folder, base_training.TrainingConfig(**config), data, held_out, device, is_compiled, workers
    )
    checkpoint = folder / "checkpoint.pt"
    if (restored := checkpoint if checkpoint.is_file() else start) is not None:
        training.load_checkpoint(restored, is_own=restored is checkpoint)
    _train(training)
    training.export(folder / "model")
    ngram_fitting.fit_strengths(training.model, training.data).save(folder / "model")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(corpus_folder / name, folder / "model" / name)
    parameters = sum(parameter.numel() for parameter in training.model.parameters())
    card = model_card.build_model_card(training.config, training.tokens, parameters, corpus_folder)
    (folder / "model" / "README.md").write_text(card, encoding="utf-8")
    release.finish_checkpoint(folder / "model")
    if part_bytes:
        _write_parts(folder, part_bytes)
    return 0


def _unpacked(corpus: Path, folder: Path) -> Path:
    """The folder of the corpus; an archive, or the folder of its parts, is unpacked into ``folder/corpus`` once.

    Raises SettingsError if there is no corpus.
    """
    from starcoder_ls.learning import archive

    if corpus.is_file() or (corpus / archive.PARTS_FILE).is_file():
        target = folder / "corpus"
        if not (target / "corpus.bin").is_file():
            archive.unpack(corpus, target)
        corpus = target
    if not (corpus / "corpus.bin").is_file():
        raise SettingsError(f"{corpus} has no corpus.bin. Create it with `starcoder-ls train corpus {corpus}`.")
    return corpus


def _complete(config: dict[str, Any], folder: Path, device: str, vocabulary_size: int) -> dict[str, Any]:
    """``config`` with the tokens of a step, if it does not name them: those that the run in ``folder`` has, else
    as many as fit the device."""
    if config.get("batch_tokens"):
        return config
    from starcoder_ls.learning import base_training, batch_size

    if (tokens := base_training.read_batch_tokens(folder)) is not None:
        return config | {"batch_tokens": tokens}
    if device == "cpu":
        return config | {"batch_tokens": batch_size.CPU_TOKENS}
    import torch

    free_bytes = torch.cuda.mem_get_info(device)[0]
    tokens = batch_size.batch_tokens(
        config["layers"], config["width"], vocabulary_size, config["row_tokens"], free_bytes
    )
    return config | {"batch_tokens": tokens}


def _write_parts(folder: Path, part_bytes: int) -> None:
    from starcoder_ls.learning import archive

    packed = folder / "model.tar.xz"
    archive.pack(folder / "model", packed, preset=0)  # trained weights compress little
    archive.split(packed, folder / "parts", part_bytes)
    packed.unlink()


def _train(training: TrainingRun) -> None:
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn(elapsed_when_finished=True))
    with Progress(*columns, console=Console(highlight=False)) as bar:
        task: TaskID = bar.add_task("starting", total=1.0)
        bar.update(task, completed=training.fraction)
        for number, report in enumerate(training.train(), start=1):
            bar.update(
                task,
                completed=report.fraction,
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
