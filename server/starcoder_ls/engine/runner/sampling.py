"""Which token comes next, given logits in float32.

Decides ties, the nucleus and the random numbers, which depend on the seed alone and not on the device. Refuses to
know what the tokens mean and how the logits were made.
"""

from __future__ import annotations

import math
from collections.abc import Collection

import torch

from starcoder_ls.generation import Sampling
from starcoder_ls.text_tokens.candidate import SampledToken


def greedy(logits: torch.Tensor) -> list[SampledToken]:
    """The likeliest token of each row; ties go to the lowest id, as ``argmax`` promises.

    ``logits``: [rows, vocabulary].
    """
    if logits.device.type == "cpu":  # numpy looks for the largest of 8,192 in 1 us, torch in 12
        ids = logits.numpy().argmax(-1).tolist()
        shares = logits.softmax(dim=-1)
        return [SampledToken(id_, math.log(float(shares[row, id_]))) for row, id_ in enumerate(ids)]
    best = logits.argmax(dim=-1)  # [rows]
    logprobs = logits.gather(-1, best[:, None])[:, 0] - logits.logsumexp(dim=-1)  # [rows]
    # One copy from the device for both: ids are exact in float64.
    pairs = torch.stack((best.double(), logprobs.double()), dim=-1).tolist()
    return [SampledToken(int(id_), logprob) for id_, logprob in pairs]


class Sampler:
    """Draws for one sequence. ``stream`` sets sequences of one request apart."""

    def __init__(self, sampling: Sampling, stream: int) -> None:
        self._sampling = sampling
        # On the CPU, where the same seed gives the same numbers beside any device.
        self._random = torch.Generator().manual_seed((sampling.seed * 1_000_003 + stream) & 0x7FFF_FFFF_FFFF_FFFF)

    def draw(self, logits: torch.Tensor, banned: Collection[int] = ()) -> SampledToken:
        """One token that is not ``banned``. ``logits``: [vocabulary]."""
        allowed = logits
        if banned:
            allowed = logits.clone()
            allowed[list(banned)] = -torch.inf
        if self._sampling.temperature == 0.0:
            return _chosen(logits, int(allowed.argmax()))
        ordered, ids = (allowed / self._sampling.temperature).softmax(dim=-1).sort(descending=True, stable=True)
        # Nucleus sampling (Holtzman et al. 2020): the fewest likeliest tokens that reach top_p, so at least one.
        cumulative = ordered.cumsum(dim=-1)  # [vocabulary]
        inside = int((cumulative - ordered < self._sampling.top_p).sum())
        point = torch.rand((), generator=self._random, dtype=torch.float64).item() * float(cumulative[inside - 1])
        rank = int(torch.searchsorted(cumulative[:inside], point, right=True))
        return _chosen(logits, int(ids[min(rank, inside - 1)]))


def _chosen(logits: torch.Tensor, id_: int) -> SampledToken:
    return SampledToken(id_, float(logits[id_] - logits.logsumexp(dim=-1)))
