"""Adapters that put virtual tokens before a text: P-Tuning, prompt tuning, prefix tuning.

The tokens are written to a KV cache once, while it is empty; the text that follows then gets the right positions
without further changes to the model.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from starcoder_ls.engine.adapters import config_checks as checks
from starcoder_ls.engine.adapters.adapter_method import AdapterMethod
from starcoder_ls.engine.adapters.peft_compat import TargetModule
from starcoder_ls.engine.kv_cache.cache import KvCache
from starcoder_ls.engine.model_shape import activation_type

TENSOR = "prompt_embeddings"
"""The only tensor of such an adapter. If an encoder was trained, this is its output."""


@dataclass(frozen=True, slots=True)
class VirtualTokens(ABC):
    """``states``: [tokens, width of the method's representation], on the device and in the type of activations."""

    states: torch.Tensor

    @property
    def count(self) -> int:
        return int(self.states.shape[0])

    def write(self, model: Any, cache: KvCache) -> None:
        """Append the tokens to ``cache``, which must be empty."""
        with torch.inference_mode():
            self._append_to(cache, model)

    @abstractmethod
    def _append_to(self, cache: KvCache, model: Any) -> None: ...


class EmbeddingTokens(VirtualTokens):
    """``states``: [tokens, hidden size], embeddings that the model reads like those of text."""

    def _append_to(self, cache: KvCache, model: Any) -> None:
        model.base_model(inputs_embeds=self.states[None], past_key_values=cache, use_cache=True)


class VirtualTokenMethod(AdapterMethod):
    """A method of which a saved adapter is one tensor."""

    config_checks: ClassVar = {
        "num_virtual_tokens": checks.integer(1, 4096),
        "num_transformer_submodules": checks.integer(1, 1, is_optional=True),
        "token_dim": checks.integer(1, 1 << 20, is_optional=True),
        "num_layers": checks.integer(1, 1 << 20, is_optional=True),
        "num_attention_heads": checks.integer(1, 1 << 20, is_optional=True),
    }
    tensor_names = re.compile(TENSOR)
    merge_obstacle = "it puts virtual tokens before the text"
    uses_virtual_tokens = True

    virtual_tokens: ClassVar[type[VirtualTokens]]

    def create_layers(self, values: Mapping[str, Any], model: torch.nn.Module) -> list[TargetModule]:
        del values, model
        return []

    def load_tensors(
        self, tensors: Mapping[str, torch.Tensor], model: torch.nn.Module, targets: Sequence[TargetModule]
    ) -> VirtualTokens:
        del targets
        device, dtype = activation_type(model)
        return self.virtual_tokens(tensors[TENSOR].to(device, dtype))


class EmbeddingMethod(VirtualTokenMethod):
    """A method whose tensor contains one embedding per virtual token."""

    virtual_tokens = EmbeddingTokens

    def tensor_shapes(
        self, values: Mapping[str, Any], model: Any, targets: Sequence[TargetModule]
    ) -> Mapping[str, tuple[int, ...]]:
        del targets
        return {TENSOR: (values["num_virtual_tokens"], int(model.config.hidden_size))}
