"""A pass of transformers' own forward over several caches: one row for each, padded to equal lengths and masked.

Used for models that neither ``compiled_pass`` nor ``bigcode_cpu`` supports, and beside adapters that they do not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers.cache_utils import Cache, DynamicLayer

from starcoder_ls.engine import model_shape
from starcoder_ls.engine.kv_cache.cache import KvCache


def supports(model: Any) -> bool:
    """Whether one mask is right for all layers of ``model``, and all of them are on one device."""
    layer_types = set(getattr(model.config, "layer_types", None) or ())
    is_one_mask = len(layer_types) < 2 and layer_types <= {"full_attention", "sliding_attention"}
    is_one_device = len({weight.device for weight in model.parameters()}) == 1
    return is_one_mask and is_one_device and model.config._attn_implementation == "sdpa"


@dataclass(frozen=True, slots=True)
class _Part:
    """The rows of one cache, ``first`` to before ``last``, with ``time`` new tokens each from position ``start``."""

    first: int
    last: int
    time: int
    start: int


class _Layer(DynamicLayer):  # type: ignore[no-untyped-call]
    """One layer of all caches: distributes new states to them, and returns all their states padded with zeros."""

    def __init__(self, layers: Sequence[Any], parts: Sequence[_Part]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._layers, self._parts = layers, parts

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *_args: Any, **_kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """[rows, heads, time, dim] of new states -> [rows, heads, longest, dim] of all."""
        longest = max(part.start + part.time for part in self._parts)
        rows, heads, _, dim = key_states.shape
        keys, values = (states.new_zeros(rows, heads, longest, dim) for states in (key_states, value_states))
        for layer, part in zip(self._layers, self._parts, strict=True):
            own = slice(part.first, part.last)
            cached = layer.update(key_states[own, :, : part.time], value_states[own, :, : part.time])
            for padded, states in zip((keys, values), cached, strict=True):
                padded[own, :, : states.shape[2]] = states
        return keys, values


def hidden_states(model: Any, inputs: Sequence[tuple[torch.Tensor, KvCache]]) -> list[torch.Tensor]:
    """Hidden states after the last norm of every new token, which are written to the caches.

    ids [rows, time] of each cache -> [rows, time, width] of each
    """
    parts: list[_Part] = []
    for ids, cache in inputs:
        first = parts[-1].last if parts else 0
        parts.append(_Part(first, first + ids.shape[0], ids.shape[1], cache.length))
    longest = max(part.time for part in parts)
    ids = torch.zeros(parts[-1].last, longest, dtype=torch.long)
    positions = torch.zeros_like(ids)
    for (own, _), part in zip(inputs, parts, strict=True):
        ids[part.first : part.last, : part.time] = own
        # Padding repeats the last position of its row, because it must be one that the model has.
        padded = torch.arange(part.start, part.start + longest).clamp_max(part.start + part.time - 1)
        positions[part.first : part.last] = padded
    device = model.get_input_embeddings().weight.device
    mask = _mask(positions, max(part.start + part.time for part in parts), model_shape.attention_window(model.config))
    layers = zip(*(cache.layers for _, cache in inputs), strict=True)
    hidden = model.base_model(
        input_ids=ids.to(device),
        position_ids=positions.to(device),
        attention_mask=mask.to(device),
        past_key_values=Cache(layers=[_Layer(same_layer, parts) for same_layer in layers]),
        use_cache=True,
    ).last_hidden_state
    return [hidden[part.first : part.last, : part.time] for part in parts]


def _mask(positions: torch.Tensor, end: int, window: int | None) -> torch.Tensor:
    """True where a token attends: at its own position and before it, as far as ``window`` reaches.

    positions [rows, time] -> [rows, 1, time, end]
    """
    kv_positions = torch.arange(end)
    is_visible = kv_positions <= positions[:, :, None]
    if window is not None:
        is_visible &= kv_positions > positions[:, :, None] - window
    return is_visible[:, None]
