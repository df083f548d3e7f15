"""The optimizer and the learning rate schedule of a run that trains a base model's own weights.

Muon updates the matrices of the blocks (Jordan 2024; torch.optim.Muon), AdamW embeddings, norms and biases.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import nn

_BLOCK = re.compile(r"(?:^|\.)(?:h|layers)\.\d+\.")  # GPTBigCode's blocks; those of the other families
_ADAPTER_WEIGHT = re.compile(r"\b(?:lora_|ia3_|adapter_)")


@dataclass(frozen=True, slots=True)
class Schedule:
    """Linear warm-up, a plateau, then linear decay to zero over the last ``decay_share`` of the run.

    ``warmup`` is in the unit of ``done``: tokens or steps.
    """

    warmup: float
    decay_share: float

    def factor(self, done: int, fraction: float) -> float:
        """Learning rate after ``done`` and ``fraction`` of the run (0 to 1), as a fraction of its peak."""
        warmup = min(1.0, (done + 1) / max(self.warmup, 1.0))
        decay = 1.0 if self.decay_share <= 0 else min(1.0, max(0.0, (1.0 - fraction) / self.decay_share))
        return min(warmup, decay)


def is_block_matrix(name: str, weight: torch.Tensor) -> bool:
    """Whether the parameter ``name`` is a matrix of the base's blocks, in any family.

    The two small matrices of LoRA and of bottleneck adapters are not: Muon makes all singular values of an update
    equal, which is meant for whole layers.
    """
    return weight.ndim == 2 and _BLOCK.search(name) is not None and _ADAPTER_WEIGHT.search(name) is None


class Optimizer:
    """Muon and AdamW as one optimizer of the weights that have a gradient; with a ``matrix_learning_rate`` of 0 AdamW
    updates the matrices as well."""

    def __init__(
        self,
        named_weights: Iterable[tuple[str, nn.Parameter]],
        matrix_learning_rate: float,
        learning_rate: float,
        weight_decay: float,
    ) -> None:
        trained = [(name, weight) for name, weight in named_weights if weight.requires_grad]
        matrices = [weight for name, weight in trained if is_block_matrix(name, weight)]
        others = [weight for name, weight in trained if not is_block_matrix(name, weight)]
        is_fused = trained[0][1].is_cuda  # one kernel for all weights instead of several for each
        self._optimizers: list[torch.optim.Optimizer] = []
        if others:
            self._optimizers.append(
                torch.optim.AdamW(others, lr=learning_rate, betas=(0.9, 0.95), weight_decay=0.0, fused=is_fused)
            )
        if matrices and matrix_learning_rate:
            self._optimizers.append(
                torch.optim.Muon(matrices, lr=matrix_learning_rate, momentum=0.95, weight_decay=weight_decay)
            )
        elif matrices:
            self._optimizers.append(
                torch.optim.AdamW(
                    matrices, lr=learning_rate, betas=(0.9, 0.95), weight_decay=weight_decay, fused=is_fused
                )
            )
        self._peaks = [[group["lr"] for group in optimizer.param_groups] for optimizer in self._optimizers]

    def step(self, factor: float) -> None:
        """Update the weights with ``factor`` times the peak learning rates, and clear the gradients."""
        for optimizer, peaks in zip(self._optimizers, self._peaks, strict=True):
            for group, peak in zip(optimizer.param_groups, peaks, strict=True):
                group["lr"] = peak * factor
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

    def state_dicts(self) -> list[dict[str, object]]:
        return [optimizer.state_dict() for optimizer in self._optimizers]

    def load_state_dicts(self, states: list[dict[str, object]]) -> None:
        for optimizer, state in zip(self._optimizers, states, strict=True):
            optimizer.load_state_dict(state)
