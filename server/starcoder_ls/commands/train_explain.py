"""``starcoder-ls train explain``: trains an adapter that describes functions, from their docstrings."""

from __future__ import annotations

import os
import statistics
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

if TYPE_CHECKING:
    from starcoder_ls.engine.generation.loaded_model import LoadedModel
    from starcoder_ls.learning.adapter_training import Example
    from starcoder_ls.learning.explanations import Pair

_HELD_OUT_PAIRS = 300
_STEPS_PER_MEAN_LOSS = 30


def run(corpus_folder: Path, folder: Path, model: str, max_pairs: int, options: dict[str, Any]) -> int:
    """Train a Parallel adapter of ``model`` and write it to ``folder`` in Astraios' format. The exit code is 0.

    Raises ModelError.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # read by OpenMP when torch is imported
    from starcoder_ls.engine import assembly
    from starcoder_ls.engine.adapters.fingerprint import compute_fingerprint
    from starcoder_ls.engine.loading.progress import ignore_progress
    from starcoder_ls.learning import adapter_training, explanations, trainable_adapter
    from starcoder_ls.learning.corpus import Corpus
    from starcoder_ls.settings import Model

    console = Console(highlight=False)
    config = adapter_training.TrainingConfig(**options)
    loaded_model = assembly.load(Model(name=model, dtype="float32", device="cpu"), ignore_progress)
    with console.status("reading functions"):
        training = _examples(explanations.sample_pairs(Corpus(corpus_folder), max_pairs, config.seed), loaded_model)
        held_out = _examples(
            explanations.sample_pairs(Corpus(corpus_folder / "heldout"), _HELD_OUT_PAIRS, 0), loaded_model
        )
    adapter = trainable_adapter.parallel_config(config.bottleneck_size, ["c_attn"])
    weights = trainable_adapter.add_adapter(loaded_model.runner.model, adapter)
    console.print(f"{len(training):,} functions, {sum(weight.numel() for weight in weights):,} weights")
    loss = adapter_training.evaluate(loaded_model.runner.model, held_out, config)
    console.print(f"loss of held-out answers before: {loss:.3f}")
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn(elapsed_when_finished=True))
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("starting", total=1.0)
        losses: list[float] = []
        for report in adapter_training.train(loaded_model.runner.model, weights, training, config):
            losses = [*losses[1 - _STEPS_PER_MEAN_LOSS :], report.loss]
            bar.update(task, completed=report.fraction, description=f"loss {statistics.fmean(losses):.3f}")
    loss = adapter_training.evaluate(loaded_model.runner.model, held_out, config)
    console.print(f"loss of held-out answers after: {loss:.3f}")
    fingerprint = compute_fingerprint(loaded_model.checkpoint)
    trainable_adapter.save_adapter(loaded_model.runner.model, adapter, folder, model, fingerprint)
    return 0


def _examples(pairs: list[Pair], loaded_model: LoadedModel) -> list[Example]:
    """The pairs as training examples. They alternate between the prompts of the built-in actions ``explain`` and
    ``document``, since an adapter that is trained on one prompt does not answer the other."""
    from starcoder_ls.learning import adapter_training, corpus, explanations

    encode = loaded_model.tokenizer.encode
    return [
        adapter_training.Example(
            tuple(encode([explanations.build_prompt(pair.code, ("explain", "document")[number % 2])])),
            (*encode([f" {pair.sentence}"]), corpus.END_ID),
        )
        for number, pair in enumerate(pairs)
    ]
