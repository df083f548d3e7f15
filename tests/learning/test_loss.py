from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import torch
from torch import nn

from starcoder_ls.learning import corpus, loss

WIDTH = 10


class Even(nn.Module):
    """Every one of ``WIDTH`` tokens is as likely, but the one that it is sure of."""

    def __init__(self, sure_of: int | None = None) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(WIDTH))
        if sure_of is not None:
            self.bias.data[sure_of] = 50.0

    def forward(self, input_ids: torch.Tensor, **_: object) -> SimpleNamespace:
        return SimpleNamespace(logits=self.bias.expand(*input_ids.shape, WIDTH))


class TwoRows:
    """Rows of a corpus: a middle of two tokens, and padding behind it."""

    def row(self, _seed: int, _index: int, length: int) -> object:
        ids = [7, 8, 9, 9, *[corpus.PAD] * (length - 4)]
        return np.array(ids, dtype=np.uint16), np.array([False, False, True, True, *[False] * (length - 4)])


def test_padding_costs_nothing() -> None:
    losses = loss.by_token(Even(), torch.tensor([[7, 8, 9, corpus.PAD, corpus.PAD]]))
    assert torch.allclose(losses, torch.tensor([[math.log(WIDTH)] * 2 + [0.0] * 2]))


def test_means_are_over_tokens_and_not_over_padding() -> None:
    held = loss.held_out(Even(), TwoRows(), 8, 4)  # type: ignore[arg-type]
    assert math.isclose(held.loss, math.log(WIDTH), rel_tol=1e-5)
    assert held.by_position[:3] == [held.by_position[0]] * 3
    assert held.by_position[4:] == [0.0] * 3


def test_middles_are_told_apart() -> None:
    held = loss.held_out(Even(sure_of=9), TwoRows(), 8, 4)  # type: ignore[arg-type]
    assert held.middle_loss < 1e-5
    assert math.isclose(held.loss, 50 / 3, rel_tol=1e-4)
