"""How much a trained model gains from its document's own n-grams: fits the strengths of ``engine.ngrams``.

Refuses to know how the model was trained.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import nn

from starcoder_ls.engine.ngrams import Index, Observation, Strengths, fitted, observed
from starcoder_ls.learning import corpus

_SEED = 99  # rows that no training run reads in the same cut


def fit(model: nn.Module, data: corpus.Corpus, rows: int = 120, length: int = 768) -> Strengths:
    """Strengths for middles, from rows of the training corpus: a model this small has not learned it by heart."""
    return fitted(list(observations(model, data, rows, length)))


def observations(model: nn.Module, data: corpus.Corpus, rows: int, length: int) -> Iterator[Observation]:
    """Every token of a middle, with what the model and the n-grams before it made of it."""
    device = next(model.parameters()).device
    for number in range(rows):
        row, is_middle = data.row(_SEED, number, length)
        with torch.no_grad():
            logits = model(input_ids=torch.from_numpy(row.astype(np.int64))[None].to(device)).logits[0].float().cpu()
        begin = 0
        for end in np.flatnonzero(row == corpus.END):
            middle = [place for place in range(begin + 1, int(end) + 1) if is_middle[place]]
            index = Index([int(id_) for id_ in row[begin : middle[0]]] if middle else ())
            for place in middle:
                yield observed(logits[place - 1], index, int(row[place]))
                index.extend([int(row[place])])
            begin = int(end) + 1
