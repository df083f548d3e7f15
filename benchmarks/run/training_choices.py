"""Short training runs that choose the bundled model's shape, vocabulary, schedule and optimizer.

Every run reads as many tokens of the same files with the same seed; compared are held-out bits per character, which do
not depend on the vocabulary, and the seconds it took. `python benchmarks/run/training_choices.py CORPUS [TOKENS]`.
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

from starcoder_ls.learning import corpus, tokenizer_training
from starcoder_ls.learning.base_training import TrainingConfig, TrainingRun
from starcoder_ls.learning.sources import Source

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


def tokenized(place: Path, training: list[Source], held_out: list[Source], size: int) -> Path:
    """A corpus folder with a vocabulary of ``size``, made on first use."""
    folder = place / str(size)
    if not folder.exists():
        tokenizer = tokenizer_training.train_tokenizer((source.text for source in training[:1500]), size)
        for part, texts in ((folder, training), (folder / "heldout", held_out)):
            part.mkdir()
            tokenizer_training.save_tokenizer(tokenizer, part)
            corpus.write_corpus(part, tokenizer, texts, [])
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
    console.print("| choice | bits/character | of it, middles (nats/token) | seconds |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory() as place:
        for number, (name, size, changes) in enumerate(CHOICES):
            folder = tokenized(Path(place), training, held_out, size)
            unseen = corpus.Corpus(folder / "heldout")
            config = TrainingConfig(
                **{"total_tokens": tokens, "warmup_tokens": tokens // 10, "full_length_share": 0.0, **changes}
            )
            run = TrainingRun(Path(place) / f"run{number}", config, corpus.Corpus(folder), unseen, "cpu", True, 1)
            began = time.monotonic()
            for _ in run.train():
                pass
            seconds = time.monotonic() - began
            held = run.measure_held_out_loss(config.row_tokens, rows=64)
            bits = bits_per_character(run, unseen, held_out_chars)
            console.print(f"| {name} | {bits:.3f} | {held.middle_loss:.2f} | {seconds:.0f} |")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 600_000)
