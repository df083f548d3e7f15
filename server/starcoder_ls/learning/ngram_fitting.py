"""How much a trained model gains from its document's own n-grams: fits the strengths of ``engine.ngrams``.

Refuses to know how the model was trained.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import nn

from starcoder_ls.engine.generation.ngram_mixing import DocumentNgrams, NgramStrengths, Observation, fitted, observed
from starcoder_ls.learning import corpus

_SEED = 99  # rows that no training run reads in the same cut
_FIRST_TOKENS = 16  # of each middle: suggestions are short


def fit(model: nn.Module, data: corpus.Corpus, rows: int = 240, length: int = 768) -> NgramStrengths:
    """Strengths for middles, from rows of the training corpus: a model this small has not learned it by heart."""
    return fitted(list(observations(model, data, rows, length)))


def observations(model: nn.Module, data: corpus.Corpus, rows: int, length: int) -> Iterator[Observation]:
    """The first tokens of every middle, with what the model and the document around it made of them."""
    device = next(model.parameters()).device
    for number in range(rows):
        row, is_middle = data.row(_SEED, number, length)
        with torch.no_grad():
            logits = model(input_ids=torch.from_numpy(row.astype(np.int64))[None].to(device)).logits[0].float().cpu()
        begin = 0
        for end in np.flatnonzero(row == corpus.END):
            middle = [place for place in range(begin + 1, int(end) + 1) if is_middle[place]]
            if middle:
                before, after = around([int(id_) for id_ in row[begin : middle[0]]])
                document = DocumentNgrams(data.decode(before), [data.decode(after)], data.encode)
                for place in middle[:_FIRST_TOKENS]:
                    generated = data.decode([int(id_) for id_ in row[middle[0] : place]])
                    yield observed(logits[place - 1], document.levels(generated), int(row[place]))
            begin = int(end) + 1


def around(prompt: list[int]) -> tuple[list[int], list[int]]:
    """Prefix and suffix of an infilling prompt in either order."""
    suffix, middle = prompt.index(corpus.SUFFIX), prompt.index(corpus.MIDDLE)
    if suffix == 1:
        return prompt[middle + 1 :], prompt[2:middle]
    return prompt[1:suffix], prompt[suffix + 1 : middle]
