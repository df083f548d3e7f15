from types import SimpleNamespace

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import nn

from starcoder_ls.learning import corpus, repetition


class Uniform(nn.Module):
    """A model that knows nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, input_ids: torch.Tensor) -> SimpleNamespace:
        return SimpleNamespace(logits=torch.zeros(*input_ids.shape, 50))


class Repeating(corpus.Corpus):
    """Rows whose middles repeat what stands before them."""

    def __init__(self) -> None:
        pass

    def row(self, _seed: int, index: int, _length: int) -> tuple[corpus.Ids, npt.NDArray[np.bool_]]:
        ids = [10, 11, 12, 13, 20 + index % 5, 10, 11, 12, 13, corpus.END]
        middle = [False] * 6 + [True] * 3 + [False]
        return np.array(ids, dtype=np.uint16), np.array(middle)


def test_repeated_text_earns_strength() -> None:
    strengths = repetition.fit(Uniform(), Repeating(), rows=50, length=10)
    assert strengths.by_evidence["1/1/one"] > 0.8


def test_only_middles_are_observed() -> None:
    seen = list(repetition.observations(Uniform(), Repeating(), rows=4, length=10))
    assert len(seen) == 12
    assert seen[0].model == pytest.approx(1 / 50)
