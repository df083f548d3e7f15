"""Compares shapes, vocabularies, schedules and optimizers of the bundled model by short training runs.

All runs train on the same number of tokens of the same files with the same seed. The table has held-out bits per
character, which do not depend on the vocabulary, and the duration in seconds.

Usage: `python benchmarks/run/training_choices.py CORPUS [TOKENS]`.
"""

from __future__ import annotations

import math
import sys
import tempfile
import time
from itertools import islice
from pathlib import Path
from typing import Any

from rich.console import Console

from starcoder_ls.context.source_files import Source
from starcoder_ls.learning import corpus, tokenizer_training
from starcoder_ls.learning.base_training import TrainingConfig, TrainingRun

FILES, HELD_OUT_FILES, BASE_VOCABULARY = 4000, 150, 8192
CHOICES: tuple[tuple[str, int, dict[str, Any]], ...] = (
    ("6 x 256, Muon 0.02, decay 0.4", BASE_VOCABULARY, {}),
    ("the same again", BASE_VOCABULARY, {}),
    ("the same, other seed", BASE_VOCABULARY, {"seed": 2}),
    ("AdamW 3e-3 throughout", BASE_VOCABULARY, {"matrix_learning_rate": 0.0}),
    ("AdamW 1e-3 throughout", BASE_VOCABULARY, {"matrix_learning_rate": 0.0, "learning_rate": 1e-3}),
    ("Muon 0.04", BASE_VOCABULARY, {"matrix_learning_rate": 0.04}),
    ("vocabulary 4,096", 4096, {}),
    ("vocabulary 16,384", 16384, {}),
    ("4 x 320", BASE_VOCABULARY, {"layers": 4, "width": 320, "heads": 5}),
    ("10 x 192", BASE_VOCABULARY, {"layers": 10, "width": 192, "heads": 3}),
    ("decay 0.2", BASE_VOCABULARY, {"decay_share": 0.2}),
    ("decay 0.8", BASE_VOCABULARY, {"decay_share": 0.8}),
)


def tokenize(root: Path, training: list[Source], held_out: list[Source], size: int) -> Path:
    """A corpus folder with a vocabulary of ``size``, written on first use."""
    folder = root / str(size)
    if not folder.exists():
        tokenizer = tokenizer_training.train_tokenizer((source.text for source in training[:1500]), size)
        for target, texts in ((folder, training), (folder / "heldout", held_out)):
            target.mkdir()
            tokenizer_training.save_tokenizer(tokenizer, target)
            corpus.write_corpus(target, tokenizer, texts, [])
    return folder


def bits_per_character(run: TrainingRun, held_out: corpus.Corpus, held_out_chars: int) -> float:
    return (
        run.measure_held_out_loss(run.config.row_tokens, rows=64).loss / math.log(2) * held_out.tokens / held_out_chars
    )


def main(data: Path, tokens: int) -> None:
    console = Console(highlight=False)
    training = list(islice(corpus.Corpus(data).sources(), FILES))
    held_out = list(islice(corpus.Corpus(data / "heldout").sources(), HELD_OUT_FILES))
    held_out_chars = sum(len(source.text) for source in held_out)
    console.print(f"{tokens:,} tokens each\n")
    console.print("| choice | bits/character | middles, nats/token | seconds |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory() as root:
        for number, (name, size, changes) in enumerate(CHOICES):
            folder = tokenize(Path(root), training, held_out, size)
            held_out_corpus = corpus.Corpus(folder / "heldout")
            config = TrainingConfig(
                **{"total_tokens": tokens, "warmup_tokens": tokens // 10, "full_length_share": 0.0, **changes}
            )
            run = TrainingRun(
                Path(root) / f"run{number}", config, corpus.Corpus(folder), held_out_corpus, "cpu", True, 1
            )
            start_s = time.monotonic()
            for _ in run.train():
                pass
            duration_s = time.monotonic() - start_s
            losses = run.measure_held_out_loss(config.row_tokens, rows=64)
            bits = bits_per_character(run, held_out_corpus, held_out_chars)
            console.print(f"| {name} | {bits:.3f} | {losses.middle_loss:.2f} | {duration_s:.0f} |")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 600_000)
