from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import torch
from torch import nn

from starcoder_ls.learning import corpus, loss

WIDTH = 10


class ConstantModel(nn.Module):
    """Predicts every token with the same probability, or ``certain_id`` with nearly 1."""

    def __init__(self, certain_id: int | None = None) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(WIDTH))
        if certain_id is not None:
            self.bias.data[certain_id] = 50.0

    def forward(self, input_ids: torch.Tensor, **_: object) -> SimpleNamespace:
        return SimpleNamespace(logits=self.bias.expand(*input_ids.shape, WIDTH))


class FakeCorpus:
    """Each row has two tokens, a middle of two tokens, and padding."""

    def row(self, _seed: int, _index: int, length: int) -> object:
        ids = [7, 8, 9, 9, *[corpus.PAD_ID] * (length - 4)]
        return np.array(ids, dtype=np.uint16), np.array([False, False, True, True, *[False] * (length - 4)])


def test_padding_has_no_loss() -> None:
    losses = loss.token_losses(ConstantModel(), torch.tensor([[7, 8, 9, corpus.PAD_ID, corpus.PAD_ID]]))
    assert torch.allclose(losses, torch.tensor([[math.log(WIDTH)] * 2 + [0.0] * 2]))


def test_mean_loss_excludes_padding() -> None:
    result = loss.measure_held_out_loss(ConstantModel(), FakeCorpus(), 8, 4)  # type: ignore[arg-type]
    assert math.isclose(result.loss, math.log(WIDTH), rel_tol=1e-5)
    assert result.by_position[:3] == [result.by_position[0]] * 3
    assert result.by_position[4:] == [0.0] * 3


def test_middle_loss_counts_only_middles() -> None:
    result = loss.measure_held_out_loss(ConstantModel(certain_id=9), FakeCorpus(), 8, 4)  # type: ignore[arg-type]
    assert result.middle_loss < 1e-5
    assert math.isclose(result.loss, 50 / 3, rel_tol=1e-4)
