"""What a model says comes next, after each of some tokens.

Decides where the likeliest token is looked for: a graph has told it already, else it is found when somebody asks.
Refuses to know which token is taken.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from starcoder_ls.engine.runner.sampling import greedy
from starcoder_ls.text_tokens.candidate import SampledToken


class Logits:
    """``values`` [n, vocabulary] in float32 or wider, on the device that made them."""

    __slots__ = ("_likeliest", "values")

    def __init__(self, values: torch.Tensor, likeliest: Sequence[SampledToken] | None = None) -> None:
        self.values = values
        self._likeliest = likeliest

    def __len__(self) -> int:
        return self.values.shape[0]

    def __getitem__(self, rows: slice) -> Logits:
        return Logits(self.values[rows], None if self._likeliest is None else self._likeliest[rows])

    def repeated(self, times: int) -> Logits:
        """The same for each of so many candidates; there is one row."""
        return Logits(self.values.expand(times, -1), None if self._likeliest is None else [*self._likeliest] * times)

    def likeliest(self) -> Sequence[SampledToken]:
        """The likeliest token of each row."""
        if self._likeliest is None:
            self._likeliest = greedy(self.values)
        return self._likeliest

    def on_host(self) -> torch.Tensor:
        """``values`` where single ones can be read and changed: one copy, not one for each."""
        return self.values if self.values.device.type == "cpu" else self.values.cpu()
