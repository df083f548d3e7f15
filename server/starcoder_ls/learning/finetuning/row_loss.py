"""The loss of batches: weighted for training, and by kind of token on data that is not trained on.

Logits are computed for the tokens that are learned only; they are the largest tensors of a step.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.nn import functional

from starcoder_ls.learning import precision
from starcoder_ls.learning.finetuning import output_loss
from starcoder_ls.learning.finetuning.batches import Batch, Batches
from starcoder_ls.learning.finetuning.trainable import Trainable


@dataclass(frozen=True, slots=True)
class Losses:
    """Mean losses in nats: over all learned tokens, and over those of middles (or answers)."""

    loss: float
    middle_loss: float


def token_losses(trainable: Trainable, batch: Batch) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Loss, weight and whether it belongs to a middle, of each learned token.  # three of [tokens]"""
    device = trainable.device
    ids, weights, is_middle = batch.ids.to(device), batch.weights.to(device)[:, 1:], batch.is_middle.to(device)[:, 1:]
    is_target = weights > 0
    output_layer, targets = trainable.model.get_output_embeddings(), ids[:, 1:][is_target]
    with precision.autocast(device.type):
        hidden = trainable.hidden(ids[:, :-1])[is_target]
        if output_loss.can_compute(output_layer):
            losses = output_loss.target_losses(hidden, output_layer.weight, targets)
        else:
            losses = functional.cross_entropy(output_layer(hidden).float(), targets, reduction="none")
    if batch.model_share is not None and batch.ngram_share is not None:
        model, ngrams = (share.to(device)[:, 1:][is_target] for share in (batch.model_share, batch.ngram_share))
        losses = -torch.logaddexp(model.log() - losses, ngrams.log())
    return losses, weights[is_target], is_middle[is_target]


def training_loss(trainable: Trainable, batch: Batch) -> tuple[torch.Tensor, Losses]:
    """The weighted mean, to differentiate (scalar), and the plain means."""
    losses, weights, is_middle = token_losses(trainable, batch)
    plain = losses.detach()
    means = Losses(float(plain.mean()), float(plain[is_middle].mean()) if is_middle.any() else float("nan"))
    return (losses * weights).sum() / weights.sum(), means


def measure_losses(trainable: Trainable, batches: Batches, steps: int) -> Losses:
    """The mean losses over the first ``steps`` batches."""
    total = middle_total = 0.0
    count = middle_count = 0
    with torch.no_grad():
        for step in range(steps):
            losses, _, is_middle = token_losses(trainable, batches.batch(step))
            total, count = total + float(losses.sum()), count + len(losses)
            middle_total += float(losses[is_middle].sum())
            middle_count += int(is_middle.sum())
    return Losses(total / max(1, count), middle_total / max(1, middle_count))
