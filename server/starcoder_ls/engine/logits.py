"""The logits that a forward pass returns.

The most likely token of each row is computed when it is first used, unless a CUDA graph has computed it already.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch

from starcoder_ls.text_tokens.candidate import SampledToken


class Logits:
    """``values`` [rows, vocabulary] in float32 or wider, on the device that computed them."""

    __slots__ = ("_greedy", "values")

    def __init__(self, values: torch.Tensor, greedy: Sequence[SampledToken] | None = None) -> None:
        self.values = values
        self._greedy = greedy

    def __len__(self) -> int:
        return self.values.shape[0]

    def __getitem__(self, rows: slice) -> Logits:
        return Logits(self.values[rows], None if self._greedy is None else self._greedy[rows])

    def repeat(self, times: int) -> Logits:
        """The single row ``times`` times, one for each candidate.  # [1, vocabulary] -> [times, vocabulary]"""
        return Logits(self.values.expand(times, -1), None if self._greedy is None else [*self._greedy] * times)

    def greedy(self) -> Sequence[SampledToken]:
        """The most likely token of each row."""
        if self._greedy is None:
            self._greedy = select_greedy(self.values)
        return self._greedy

    def on_cpu(self) -> torch.Tensor:
        """``values`` on the CPU, in one copy: [rows, vocabulary]."""
        return self.values if self.values.device.type == "cpu" else self.values.cpu()


def select_greedy(logits: torch.Tensor) -> list[SampledToken]:
    """The most likely token of each row; ties go to the lowest id, as ``argmax`` guarantees.

    ``logits``: [rows, vocabulary].
    """
    if logits.device.type == "cpu":  # numpy: over 8,192 values its argmax takes 1 us, torch's 12
        return [_select_greedy_in_row(row) for row in logits.numpy()]
    return _select_greedy_on_device(logits)


def _select_greedy_in_row(row: np.ndarray) -> SampledToken:
    """``row``: [vocabulary]."""
    id_ = int(row.argmax())
    return SampledToken(id_, -math.log(float(np.exp(row - row[id_]).sum())))


def _select_greedy_on_device(logits: torch.Tensor) -> list[SampledToken]:
    """``select_greedy`` with one copy from the device. Without float64, which MPS does not have."""
    best = logits.argmax(dim=-1)  # [rows]
    logprobs = logits.gather(-1, best[:, None])[:, 0] - logits.logsumexp(dim=-1)  # [rows]
    # One copy for both: the bits of the log probabilities as integers beside the ids.
    ids, bits = torch.stack((best.int(), logprobs.float().view(torch.int32))).cpu()
    return [SampledToken(*pair) for pair in zip(ids.tolist(), bits.view(torch.float32).tolist(), strict=True)]
