"""Several caches in one pass of a model's own forward: a row each, padded to equal lengths, under a mask of our own.

Decides which models this is exact for. Refuses to know requests, and StarCoder on a CPU: ``lean`` pads nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers.cache_utils import Cache, DynamicLayer

from starcoder_ls.engine import model_shape
from starcoder_ls.engine.kv_cache.cache import KvCache

Several = Sequence[tuple[torch.Tensor, KvCache]]


def supports(model: Any) -> bool:
    """One mask must do for all layers, and all of them must be where the mask is."""
    kinds = set(getattr(model.config, "layer_types", None) or ())
    is_one_mask = len(kinds) < 2 and kinds <= {"full_attention", "sliding_attention"}
    is_one_place = len({weight.device for weight in model.parameters()}) == 1
    return is_one_mask and is_one_place and model.config._attn_implementation == "sdpa"


@dataclass(frozen=True, slots=True)
class _Part:
    """The rows of one cache, from ``first`` to before ``last``: ``time`` new tokens each, the first at ``start``."""

    first: int
    last: int
    time: int
    start: int


class _Layer(DynamicLayer):  # type: ignore[no-untyped-call]
    """One layer of all caches. What it is given goes to each; what each then holds comes back, padded with zeros."""

    def __init__(self, owners: Sequence[Any], parts: Sequence[_Part]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._owners, self._parts = owners, parts

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *_args: Any, **_kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        longest = max(part.start + part.time for part in self._parts)
        rows, heads, _, dim = key_states.shape
        keys, values = (states.new_zeros(rows, heads, longest, dim) for states in (key_states, value_states))
        for owner, part in zip(self._owners, self._parts, strict=True):
            own = slice(part.first, part.last)
            held = owner.update(key_states[own, :, : part.time], value_states[own, :, : part.time])
            for padded, states in zip((keys, values), held, strict=True):
                padded[own, :, : states.shape[2]] = states
        return keys, values


def hidden_states(model: Any, several: Several) -> list[torch.Tensor]:
    """What the last block says of every new token: [rows, time, width] of each."""
    parts: list[_Part] = []
    for ids, cache in several:
        first = parts[-1].last if parts else 0
        parts.append(_Part(first, first + ids.shape[0], ids.shape[1], cache.length))
    longest = max(part.time for part in parts)
    ids = torch.zeros(parts[-1].last, longest, dtype=torch.long)
    positions = torch.zeros_like(ids)
    for (own, _), part in zip(several, parts, strict=True):
        ids[part.first : part.last, : part.time] = own
        # What pads a row repeats its last place: it must be one that the model has.
        places = torch.arange(part.start, part.start + longest).clamp_max(part.start + part.time - 1)
        positions[part.first : part.last] = places
    device = model.get_input_embeddings().weight.device
    mask = _mask(positions, max(part.start + part.time for part in parts), model_shape.attention_window(model.config))
    layers = zip(*(cache.layers for _, cache in several), strict=True)
    hidden = model.base_model(
        input_ids=ids.to(device),
        position_ids=positions.to(device),
        attention_mask=mask.to(device),
        past_key_values=Cache(layers=[_Layer(owners, parts) for owners in layers]),
        use_cache=True,
    ).last_hidden_state
    return [hidden[part.first : part.last, : part.time] for part in parts]


def _mask(positions: torch.Tensor, end: int, window: int | None) -> torch.Tensor:
    """True where a token may look: at its own place and before, as far as the window goes.  # [rows, 1, time, end]"""
    places = torch.arange(end)
    may_look = places <= positions[:, :, None]
    if window is not None:
        may_look &= places > positions[:, :, None] - window
    return may_look[:, None]
