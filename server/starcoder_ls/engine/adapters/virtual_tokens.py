"""Adapters that put virtual tokens before a text: P-Tuning, prompt tuning, prefix tuning.

Decides how they get into a cache: once per cache, before any text, so that every position after them is right by
itself. Refuses to know requests.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from starcoder_ls.engine.adapters.config import Declared
from starcoder_ls.engine.kv_cache.cache import KvCache

KEY = "prompt_embeddings"
"""The only tensor of such an adapter; what an encoder made of it in training is already in it."""


@dataclass(frozen=True, slots=True)
class VirtualTokens:
    """``states``: [tokens, width] embeddings; for prefix tuning [tokens, 2 · layers · heads · head]."""

    kind: str
    states: torch.Tensor

    @property
    def count(self) -> int:
        return int(self.states.shape[0])

    def write(self, model: Any, cache: KvCache) -> None:
        """Put them into ``cache``, which is empty."""
        with torch.inference_mode():
            if self.kind == "PREFIX_TUNING":
                self._write_states(model, cache)
            else:
                model.base_model(inputs_embeds=self.states[None], past_key_values=cache, use_cache=True)

    def _write_states(self, model: Any, cache: KvCache) -> None:
        """PEFT's order: [tokens, 2 · layers, heads, head], a layer's keys before its values."""
        layers, heads, head = key_value_shape(model.config)
        ordered = self.states.view(self.count, 2 * layers, heads, head).permute(1, 2, 0, 3)[:, None]
        for layer in range(layers):
            cache.update(ordered[2 * layer].contiguous(), ordered[2 * layer + 1].contiguous(), layer)


def expected_shape(declared: Declared, model: Any) -> Mapping[str, tuple[int, ...]]:
    """What the file must hold for this base."""
    layers, heads, head = key_value_shape(model.config)
    width = 2 * layers * heads * head if declared.kind == "PREFIX_TUNING" else int(model.config.hidden_size)
    return {KEY: (declared.keys["num_virtual_tokens"], width)}


def key_value_shape(config: Any) -> tuple[int, int, int]:
    """Layers, heads of keys and values, width of a head."""
    queries = int(config.num_attention_heads)
    heads = 1 if getattr(config, "multi_query", False) else int(getattr(config, "num_key_value_heads", None) or queries)
    head = getattr(config, "head_dim", None) or int(config.hidden_size) // queries
    return int(config.num_hidden_layers), heads, int(head)


def activations(model: Any) -> tuple[torch.device, torch.dtype]:
    """Where and in which type the model computes: that of its norms, whatever its matrices are packed or rounded to."""
    device = model.get_input_embeddings().weight.device
    types = [weight.dtype for weight in model.parameters() if weight.dim() == 1 and weight.is_floating_point()]
    return torch.device("cpu") if device.type == "meta" else device, types[0] if types else torch.float32
