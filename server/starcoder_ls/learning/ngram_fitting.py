"""Fits the strengths of n-gram mixing (``engine.generation.ngram_mixing``) to a trained model."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import nn

from starcoder_ls.engine.generation.ngram_mixing import (
    DocumentNgrams,
    NgramStrengths,
    Observation,
    fit_to_observations,
    observe,
)
from starcoder_ls.learning import corpus

_SEED = 99  # no training run draws its rows with this seed
_OBSERVED_TOKENS = 16  # at the start of each middle: suggestions are short


def fit_strengths(model: nn.Module, data: corpus.Corpus, rows: int = 240, length: int = 768) -> NgramStrengths:
    """Strengths for middles, from rows of the training corpus, which a model this small has not memorized."""
    return fit_to_observations(list(collect_observations(model, data, rows, length)))


def collect_observations(model: nn.Module, data: corpus.Corpus, rows: int, length: int) -> Iterator[Observation]:
    """What the model and the n-grams of the document predicted for the first tokens of every middle."""
    device = next(model.parameters()).device
    for index in range(rows):
        row, is_middle = data.row(_SEED, index, length)
        with torch.no_grad():
            logits = model(input_ids=torch.from_numpy(row.astype(np.int64))[None].to(device)).logits[0].float().cpu()
        start = 0
        for end in np.flatnonzero(row == corpus.END_ID):
            middle = [position for position in range(start + 1, int(end) + 1) if is_middle[position]]
            if middle:
                prefix, suffix = split_prompt([int(id_) for id_ in row[start : middle[0]]])
                document = DocumentNgrams(data.decode(prefix), [data.decode(suffix)], data.encode)
                for position in middle[:_OBSERVED_TOKENS]:
                    generated = data.decode([int(id_) for id_ in row[middle[0] : position]])
                    yield observe(logits[position - 1], document.levels(generated), int(row[position]))
            start = int(end) + 1


def split_prompt(prompt: list[int]) -> tuple[list[int], list[int]]:
    """Prefix and suffix of an infilling prompt in PSM or SPM order."""
    suffix, middle = prompt.index(corpus.FIM_SUFFIX_ID), prompt.index(corpus.FIM_MIDDLE_ID)
    if suffix == 1:
        return prompt[middle + 1 :], prompt[2:middle]
    return prompt[1:suffix], prompt[suffix + 1 : middle]
