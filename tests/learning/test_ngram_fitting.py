from types import SimpleNamespace

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import nn

from starcoder_ls.learning import corpus, ngram_fitting


class UniformModel(nn.Module):
    """Predicts every token with the same probability."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, input_ids: torch.Tensor) -> SimpleNamespace:
        return SimpleNamespace(logits=torch.zeros(*input_ids.shape, 128))


class RepeatingCorpus(corpus.Corpus):
    """Each row's middle repeats text of its prefix; token ids are code points."""

    def __init__(self) -> None:
        pass

    def row(self, _seed: int, index: int, _length: int) -> tuple[corpus.Ids, npt.NDArray[np.bool_]]:
        prompt, middle = f"abcd{index % 5}abc", "d"
        is_spm = index % 2
        ids = [
            corpus.FIM_PREFIX_ID,
            corpus.FIM_SUFFIX_ID,
            *self.encode("xx"),
            corpus.FIM_MIDDLE_ID,
            *self.encode(prompt),
        ]
        if not is_spm:
            ids = [
                corpus.FIM_PREFIX_ID,
                *self.encode(prompt),
                corpus.FIM_SUFFIX_ID,
                *self.encode("xx"),
                corpus.FIM_MIDDLE_ID,
            ]
        ids += [*self.encode(middle), corpus.END_ID]
        is_middle = np.zeros(len(ids), dtype=np.bool_)
        is_middle[-2] = True
        return np.array(ids, dtype=np.uint16), is_middle

    def encode(self, text: str) -> list[int]:
        return [ord(char) for char in text]

    def decode(self, ids: list[int]) -> str:
        return "".join(map(chr, ids))


def test_repeated_text_gets_a_high_strength_in_both_orders() -> None:
    strengths = ngram_fitting.fit_strengths(UniformModel(), RepeatingCorpus(), rows=50, length=10)
    assert strengths.by_evidence["3/1/one"] > 0.5


def test_only_middles_are_observed() -> None:
    observations = list(ngram_fitting.collect_observations(UniformModel(), RepeatingCorpus(), rows=4, length=10))
    assert len(observations) == 4
    assert observations[0].model == pytest.approx(1 / 128)
