"""``starcoder-ls train explain``: trains an adapter that describes functions, from their docstrings."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

if TYPE_CHECKING:
    from starcoder_ls.engine.loading.checkpoint import Checkpoint
    from starcoder_ls.learning.explanations import Pair
    from starcoder_ls.learning.finetuning.instruction_batches import Example
    from starcoder_ls.learning.finetuning.training_run import TrainingRun
    from starcoder_ls.text_tokens.tokenizer import Tokenizer

_HELD_OUT_PAIRS = 300
_EVALUATIONS = 10
_SEED = 1


def run(
    corpus_folder: Path,
    folder: Path,
    model: str,
    max_pairs: int,
    options: dict[str, Any],
    device: str = "auto",
    dtype: str = "auto",
) -> int:
    """Train a Parallel adapter of ``model`` and write it to ``folder`` in Astraios' format. The exit code is 0.

    A run that was interrupted is resumed from ``folder/training``. Raises ModelError, SettingsError.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # read by OpenMP when torch is imported
    from starcoder_ls.engine.loading.progress import ignore_progress
    from starcoder_ls.engine.loading.resolve import resolve_checkpoint
    from starcoder_ls.learning import explanations
    from starcoder_ls.learning.corpus import Corpus
    from starcoder_ls.learning.finetuning import training_base
    from starcoder_ls.learning.finetuning.instruction_batches import InstructionBatches
    from starcoder_ls.learning.finetuning.layer_training import add_parallel
    from starcoder_ls.learning.finetuning.training_run import RunConfig, TrainingRun
    from starcoder_ls.settings import Model
    from starcoder_ls.text_tokens.tokenizer import Tokenizer

    console, longest = Console(highlight=False), options["max_example_tokens"]
    checkpoint = resolve_checkpoint(Model(name=model), ignore_progress)
    tokenizer = Tokenizer.from_folder(checkpoint.folder, checkpoint.vocabulary_size)
    with console.status("reading functions"):
        pairs = explanations.sample_pairs(Corpus(corpus_folder), max_pairs, _SEED)
        held_out_pairs = explanations.sample_pairs(Corpus(corpus_folder / "heldout"), _HELD_OUT_PAIRS, 0)
        examples, held_out = (_examples(part, checkpoint, tokenizer) for part in (pairs, held_out_pairs))
    training = InstructionBatches(examples, max_example_tokens=longest, epochs=options["epochs"], seed=_SEED)
    validation = InstructionBatches(held_out, max_example_tokens=longest)
    chosen = training_base.with_dtype(training_base.choose_device(device, "none", False, checkpoint), dtype)
    loaded = training_base.load_base(checkpoint, chosen, ignore_progress)
    trainable = add_parallel(loaded, checkpoint.architecture, options["bottleneck_size"])
    weights = sum(weight.numel() for weight in trainable.named_weights().values())
    console.print(f"{len(examples):,} functions, {weights:,} weights")
    base, steps = training_base.identify(checkpoint, model), len(training)
    config = RunConfig(
        steps, options["learning_rate"], weight_decay=0.01, warmup_share=0.05, decay_share=0.95,
        evaluate_every=max(1, steps // _EVALUATIONS), validation_steps=len(validation),
        data=f"{base.fingerprint} {weights} {chosen.dtype} {longest} {_hash_examples(examples)}",
    )  # fmt: skip
    _train(console, TrainingRun(folder / "training", config, trainable, training, validation))
    folder.mkdir(parents=True, exist_ok=True)
    trainable.save(folder, base)
    shutil.rmtree(folder / "training")
    return 0


def _train(console: Console, training: TrainingRun) -> None:
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn(elapsed_when_finished=True))
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("starting", total=training.config.steps, completed=training.step)
        for report in training.train():
            bar.update(task, completed=report.step, description=f"loss {report.training.middle_loss:.3f}")
            if report.validation is not None:
                bar.console.print(f"step {report.step:,}: held-out loss {report.validation.middle_loss:.3f}")


def _hash_examples(examples: Sequence[Example]) -> str:
    """Identifies what is learned, so that a run is not continued on another corpus."""
    digest = hashlib.sha256()
    for example in examples:
        digest.update(f"{example}\n".encode())
    return digest.hexdigest()[:16]


def _examples(pairs: Sequence[Pair], checkpoint: Checkpoint, tokenizer: Tokenizer) -> list[Example]:
    """The pairs as training examples. They alternate between the prompts of the built-in actions ``explain`` and
    ``document``, since an adapter that is trained on one prompt does not answer the other."""
    from starcoder_ls.learning import explanations
    from starcoder_ls.learning.finetuning.fim_rows import end_of_text_id
    from starcoder_ls.learning.finetuning.instruction_batches import Example

    end_id = end_of_text_id(checkpoint)
    return [
        Example(
            tuple(tokenizer.encode([explanations.build_prompt(pair.code, ("explain", "document")[number % 2])])),
            (*tokenizer.encode([f" {pair.sentence}"]), end_id),
        )
        for number, pair in enumerate(pairs)
    ]
