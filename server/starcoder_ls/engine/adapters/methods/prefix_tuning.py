"""Prefix tuning: virtual tokens with learned keys and values in every layer (Li & Liang 2021)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from starcoder_ls.engine.adapters.target_module import TargetModule
from starcoder_ls.engine.adapters.virtual_token_method import TENSOR, VirtualTokenMethod
from starcoder_ls.engine.adapters.virtual_tokens import VirtualTokens
from starcoder_ls.engine.kv_cache.cache import KvCache
from starcoder_ls.engine.model_shape import key_value_shape


class KeyValueTokens(VirtualTokens):
    """``states``: [tokens, 2 · layers · heads · head width], in PEFT's order: a layer's keys before its values."""

    def _append_to(self, cache: KvCache, model: Any) -> None:
        layers, heads, head_width = key_value_shape(model.config)
        # [tokens, 2 · layers, heads, head width] -> [2 · layers, 1, heads, tokens, head width]
        states = self.states.view(self.count, 2 * layers, heads, head_width).permute(1, 2, 0, 3)[:, None]
        for layer in range(layers):
            cache.update(states[2 * layer].contiguous(), states[2 * layer + 1].contiguous(), layer)


class PrefixTuning(VirtualTokenMethod):
    peft_type = "PREFIX_TUNING"
    training_keys = frozenset({"prefix_projection", "encoder_hidden_size"})
    virtual_tokens = KeyValueTokens

    def tensor_shapes(
        self, values: Mapping[str, Any], model: torch.nn.Module, targets: Sequence[TargetModule]
    ) -> Mapping[str, tuple[int, ...]]:
        del targets
        layers, heads, head_width = key_value_shape(model.config)
        return {TENSOR: (values["num_virtual_tokens"], 2 * layers * heads * head_width)}
