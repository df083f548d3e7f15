"""Which parameters are updated how, and how fast at which step.

Muon for the matrices of the blocks (Jordan 2024; torch.optim.Muon), AdamW for embeddings, norms and biases.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn


@dataclass(frozen=True, slots=True)
class Schedule:
    """Warm-up, a plateau, then linear decay to zero over the last ``decay_share`` of all tokens."""

    total_tokens: int
    warmup_tokens: int
    decay_share: float

    def factor(self, tokens: int) -> float:
        """Learning rate at ``tokens`` seen, relative to its peak."""
        decay_tokens = max(self.total_tokens * self.decay_share, 1.0)
        rise = min(1.0, (tokens + 1) / max(self.warmup_tokens, 1))
        fall = min(1.0, max(0.0, (self.total_tokens - tokens) / decay_tokens))
        return min(rise, fall)


class Optimizer:
    """Two optimizers that step as one."""

    def __init__(self, model: nn.Module, matrix_rate: float, other_rate: float, weight_decay: float) -> None:
        matrices = [p for n, p in model.named_parameters() if p.ndim == 2 and ".h." in n]
        others = [p for n, p in model.named_parameters() if not (p.ndim == 2 and ".h." in n)]
        self._parts: list[torch.optim.Optimizer] = [
            torch.optim.AdamW(others, lr=other_rate, betas=(0.9, 0.95), weight_decay=0.0)
        ]
        if matrix_rate:
            self._parts.append(torch.optim.Muon(matrices, lr=matrix_rate, momentum=0.95, weight_decay=weight_decay))
        else:
            self._parts.append(torch.optim.AdamW(matrices, lr=other_rate, betas=(0.9, 0.95), weight_decay=weight_decay))
        self._peaks = [[group["lr"] for group in part.param_groups] for part in self._parts]

    def step(self, factor: float) -> None:
        for part, peaks in zip(self._parts, self._peaks, strict=True):
            for group, peak in zip(part.param_groups, peaks, strict=True):
                group["lr"] = peak * factor
            part.step()
            part.zero_grad(set_to_none=True)

    def state(self) -> list[object]:
        return [part.state_dict() for part in self._parts]

    def restore(self, state: list[dict[str, object]]) -> None:
        for part, saved in zip(self._parts, state, strict=True):
            part.load_state_dict(saved)
