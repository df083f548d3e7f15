"""How well a model knows what comes next, token by token.

Refuses to know how the model was trained and where rows come from.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader

from starcoder_ls.learning import corpus


def by_token(model: nn.Module, ids: torch.Tensor) -> torch.Tensor:
    """Cross-entropy of each next token in nats, 0 for padding.  # ids [batch, time] -> [batch, time - 1]"""
    positions = torch.arange(ids.shape[1] - 1, device=ids.device).unsqueeze(0)
    logits = model(input_ids=ids[:, :-1], position_ids=positions, use_cache=False).logits
    targets = ids[:, 1:]
    flat = functional.cross_entropy(
        logits.float().flatten(0, 1), targets.flatten(), ignore_index=corpus.PAD, reduction="none"
    )
    return flat.view_as(targets)


@dataclass(frozen=True, slots=True)
class HeldOut:
    """Losses on text never trained on, in nats: by position, over all tokens, over middles."""

    by_position: list[float]
    loss: float
    middle_loss: float


def held_out(model: nn.Module, data: corpus.Corpus, length: int, rows: int) -> HeldOut:
    """On the first ``rows`` rows of ``data``, always the same ones; ``rows`` is a multiple of 4."""
    device = next(model.parameters()).device
    loader = DataLoader(corpus.Rows(data, 0, 0, length), batch_size=4)
    losses, middles, targets = [], [], []
    with torch.no_grad():
        for ids, is_middle in itertools.islice(loader, rows // 4):
            losses.append(by_token(model, ids.to(device)).float().cpu())
            middles.append(is_middle[:, 1:])
            targets.append(ids[:, 1:] != corpus.PAD)
    loss, is_middle, is_target = torch.cat(losses), torch.cat(middles), torch.cat(targets)
    by_position = loss.sum(0) / is_target.sum(0).clamp(min=1)
    return HeldOut(by_position.tolist(), float(loss[is_target].mean()), float(loss[is_middle].mean()))
