"""Fits the strengths of n-gram mixing again to a base whose weights were trained: it knows more than before, so other
matches deserve their share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch

from starcoder_ls.engine.generation.ngram_mixing import NgramStrengths, Observation, fit_to_observations
from starcoder_ls.engine.loading import integrity
from starcoder_ls.learning.finetuning.fim_rows import FimRows
from starcoder_ls.learning.finetuning.ngram_shares import observations_of
from starcoder_ls.learning.finetuning.trainable import Trainable
from starcoder_ls.text_tokens.tokenizer import Tokenizer

_OBSERVED_TOKENS = 16  # at the start of each middle: suggestions are short
_ROWS = 60


def refit_strengths(trainable: Trainable, rows: FimRows, tokenizer: Tokenizer, count: int = _ROWS) -> NgramStrengths:
    """Strengths for the middles of the first ``count`` of ``rows``, which must not have been trained on."""
    return fit_to_observations(list(_observe(trainable, rows, tokenizer, count)))


def _observe(trainable: Trainable, rows: FimRows, tokenizer: Tokenizer, count: int) -> Iterator[Observation]:
    head = trainable.model.get_output_embeddings()
    for index in range(count):
        ids = torch.tensor(rows.row(index)[0], device=trainable.device)[None]
        with torch.no_grad():
            logits = head(trainable.hidden(ids))[0].float().cpu()
        for middle in rows.middles(index):
            yield from observations_of(middle, logits, tokenizer, _OBSERVED_TOKENS)


def replace_strengths(folder: Path, strengths: NgramStrengths) -> None:
    """Write ``strengths`` into the checkpoint ``folder``, and the hashes of its files again. Raises OSError."""
    strengths.save(folder)
    integrity.write_checkpoint_manifest(folder)
