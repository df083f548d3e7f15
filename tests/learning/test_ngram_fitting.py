from types import SimpleNamespace

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import nn

from starcoder_ls.learning import corpus, ngram_fitting


class Uniform(nn.Module):
    """A model that knows nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, input_ids: torch.Tensor) -> SimpleNamespace:
        return SimpleNamespace(logits=torch.zeros(*input_ids.shape, 128))


class Repeating(corpus.Corpus):
    """Rows whose middles repeat what stands before them; ids are characters."""

    def __init__(self) -> None:
        pass

    def row(self, _seed: int, index: int, _length: int) -> tuple[corpus.Ids, npt.NDArray[np.bool_]]:
        prompt, middle = f"abcd{index % 5}abc", "d"
        is_spm = index % 2
        ids = [corpus.PREFIX, corpus.SUFFIX, *self.encode("xx"), corpus.MIDDLE, *self.encode(prompt)]
        if not is_spm:
            ids = [corpus.PREFIX, *self.encode(prompt), corpus.SUFFIX, *self.encode("xx"), corpus.MIDDLE]
        ids += [*self.encode(middle), corpus.END]
        is_middle = np.zeros(len(ids), dtype=np.bool_)
        is_middle[-2] = True
        return np.array(ids, dtype=np.uint16), is_middle

    def encode(self, text: str) -> list[int]:
        return [ord(char) for char in text]

    def decode(self, ids: list[int]) -> str:
        return "".join(map(chr, ids))


def test_repeated_text_earns_strength_in_both_orders() -> None:
    strengths = ngram_fitting.fit(Uniform(), Repeating(), rows=50, length=10)
    assert strengths.by_evidence["3/1/one"] > 0.5


def test_only_middles_are_observed() -> None:
    seen = list(ngram_fitting.observations(Uniform(), Repeating(), rows=4, length=10))
    assert len(seen) == 4
    assert seen[0].model == pytest.approx(1 / 128)
