"""Next-token losses of a model: of each token in training, and on held-out rows."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader

from starcoder_ls.learning import corpus

_HELD_OUT_BATCH_ROWS = 4


def token_losses(model: nn.Module, ids: torch.Tensor) -> torch.Tensor:
    """Cross-entropy of each next token in nats, 0 for padding.  # ids [batch, time] -> [batch, time - 1]"""
    positions = torch.arange(ids.shape[1] - 1, device=ids.device).unsqueeze(0)
    logits = model(input_ids=ids[:, :-1], position_ids=positions, use_cache=False).logits
    targets = ids[:, 1:]
    losses = functional.cross_entropy(
        logits.float().flatten(0, 1), targets.flatten(), ignore_index=corpus.PAD_ID, reduction="none"
    )
    return losses.view_as(targets)


@dataclass(frozen=True, slots=True)
class HeldOutLoss:
    """Mean losses on text that was not trained on, in nats: by position, over all tokens, over middles."""

    by_position: list[float]
    loss: float
    middle_loss: float


def measure_held_out_loss(model: nn.Module, data: corpus.Corpus, length: int, rows: int) -> HeldOutLoss:
    """On the first ``rows`` rows of ``length`` tokens of ``data``; ``rows`` must be a multiple of 4."""
    device = next(model.parameters()).device
    loader = DataLoader(corpus.RowDataset(data, 0, 0, length), batch_size=_HELD_OUT_BATCH_ROWS)
    batch_losses, batch_is_middle, batch_is_target = [], [], []
    with torch.no_grad():
        for ids, is_middle in itertools.islice(loader, rows // _HELD_OUT_BATCH_ROWS):
            batch_losses.append(token_losses(model, ids.to(device)).float().cpu())
            batch_is_middle.append(is_middle[:, 1:])
            batch_is_target.append(ids[:, 1:] != corpus.PAD_ID)
    losses, is_middle, is_target = (torch.cat(parts) for parts in (batch_losses, batch_is_middle, batch_is_target))
    by_position = losses.sum(0) / is_target.sum(0).clamp(min=1)
    return HeldOutLoss(by_position.tolist(), float(losses[is_target].mean()), float(losses[is_middle].mean()))
