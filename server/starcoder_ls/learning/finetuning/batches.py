"""What the training loop reads: batches of token ids with a weight for each, as a function of the step alone.

Since nothing else decides a batch, a run resumes at any step without saved state of the data.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch

Row = tuple[list[int], list[float], list[bool]]
"""Ids, the weight of each in the loss, and whether it belongs to a middle."""


@dataclass(frozen=True, slots=True)
class Batch:
    """All [rows, time]. A weight of 0 means that the token is not learned: padding, or a prompt.

    With shares, the loss is that of a mixture: the probability of a token is ``model_share`` times that of the model,
    plus ``ngram_share``.
    """

    ids: torch.Tensor
    weights: torch.Tensor
    is_middle: torch.Tensor
    model_share: torch.Tensor | None = None
    ngram_share: torch.Tensor | None = None


class Batches(Protocol):
    """The data of a run."""

    def __len__(self) -> int:
        """The number of steps that read every example as often as it should be read."""
        ...

    def batch(self, step: int) -> Batch:
        """The same batch for the same step, in any process."""
        ...


def stack_rows(rows: Sequence[Row]) -> Batch:
    """Pad the rows to the longest one. Padding is at the end, where causal attention hides it.  # [rows, time]"""
    length = max(len(ids) for ids, _, _ in rows)
    batch = Batch(
        torch.zeros(len(rows), length, dtype=torch.long),
        torch.zeros(len(rows), length),
        torch.zeros(len(rows), length, dtype=torch.bool),
    )
    for number, (ids, weights, is_middle) in enumerate(rows):
        batch.ids[number, : len(ids)] = torch.tensor(ids)
        batch.weights[number, : len(ids)] = torch.tensor(weights)
        batch.is_middle[number, : len(ids)] = torch.tensor(is_middle)
    return batch
