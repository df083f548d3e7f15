"""Cross-entropy through a frozen output layer, without logits in float32 for all tokens, for training on a CPU.

The gradient of a token's loss is computed beside the loss, while a few rows of logits are in the processor's cache. It
is kept instead of the logits, and multiplied in the backward pass with what is then known: the token's weight.
"""

from __future__ import annotations

from typing import Any

import torch

_BLOCK_ROWS = 128
"""4 MB of logits in float32 with a vocabulary of 8,192."""


def can_compute(layer: Any) -> bool:
    """Whether ``layer`` is a frozen linear layer without a bias, on a CPU."""
    return (
        type(layer) is torch.nn.Linear
        and layer.bias is None
        and layer.weight.device.type == "cpu"
        and not layer.weight.requires_grad
    )


def target_losses(hidden: torch.Tensor, weight: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Loss of each token in nats, in float32; products are computed in the type of autocast.

    ``hidden`` [tokens, width]; ``weight`` [vocabulary, width]; ``targets`` [tokens] -> [tokens]
    """
    dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else hidden.dtype
    losses: torch.Tensor = _TargetLosses.apply(hidden.to(dtype), weight.detach().to(dtype), targets)  # type: ignore[no-untyped-call]
    return losses


class _TargetLosses(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden: torch.Tensor, weight: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        logits = hidden @ weight.t()
        losses = torch.empty(len(hidden), dtype=torch.float32)
        for start in range(0, len(hidden), _BLOCK_ROWS):
            rows = slice(start, start + _BLOCK_ROWS)
            target = targets[rows, None]
            log_probabilities = torch.log_softmax(logits[rows].float(), -1)
            losses[rows] = -log_probabilities.gather(1, target)[:, 0]
            if ctx.needs_input_grad[0]:
                to_logits = log_probabilities.exp_()
                to_logits.scatter_add_(1, target, torch.full_like(target, -1, dtype=to_logits.dtype))
                logits[rows] = to_logits
        if ctx.needs_input_grad[0]:
            ctx.save_for_backward(logits @ weight)
        return losses

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        (to_hidden,) = ctx.saved_tensors
        return to_hidden * gradients[0][:, None].to(to_hidden.dtype), None, None
