"""Temperature and nucleus sampling.

The random numbers depend on the seed alone: they are drawn on the CPU, whatever device computed the logits.
"""

from __future__ import annotations

from collections.abc import Collection

import torch

from starcoder_ls.generation import Sampling
from starcoder_ls.text_tokens.candidate import SampledToken


class Sampler:
    """Samples the tokens of one sequence. ``stream`` gives the sequences of one request different random numbers."""

    def __init__(self, sampling: Sampling, stream: int) -> None:
        self._sampling = sampling
        # On the CPU, where the same seed gives the same numbers beside any device.
        self._random = torch.Generator().manual_seed((sampling.seed * 1_000_003 + stream) & 0x7FFF_FFFF_FFFF_FFFF)

    def sample(self, logits: torch.Tensor, banned: Collection[int] = ()) -> SampledToken:
        """A token that is not in ``banned``; the most likely one at temperature 0.  # logits [vocabulary], float32"""
        allowed = logits
        if banned:
            allowed = logits.clone()
            allowed[list(banned)] = -torch.inf
        if self._sampling.temperature == 0.0:
            return _with_logprob(logits, int(allowed.argmax()))
        ordered, ids = (allowed / self._sampling.temperature).softmax(dim=-1).sort(descending=True, stable=True)
        # Nucleus sampling (Holtzman et al. 2020): the fewest most likely tokens that reach top_p, so at least one.
        cumulative = ordered.cumsum(dim=-1)  # [vocabulary]
        inside = int((cumulative - ordered < self._sampling.top_p).sum())
        point = torch.rand((), generator=self._random, dtype=torch.float64).item() * float(cumulative[inside - 1])
        # Not torch.searchsorted, which makes a float64 of `point` on the device; MPS has none.
        rank = int((cumulative[:inside] <= point).sum())
        return _with_logprob(logits, int(ids[min(rank, inside - 1)]))


def _with_logprob(logits: torch.Tensor, id_: int) -> SampledToken:
    return SampledToken(id_, float(logits[id_] - logits.logsumexp(dim=-1)))
