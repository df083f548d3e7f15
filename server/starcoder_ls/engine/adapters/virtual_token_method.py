"""What the methods with virtual tokens have in common: P-Tuning, prompt tuning, prefix tuning."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch

from starcoder_ls.engine.adapters import config_checks as checks
from starcoder_ls.engine.adapters.adapter_method import AdapterMethod
from starcoder_ls.engine.adapters.target_module import TargetModule
from starcoder_ls.engine.adapters.virtual_tokens import EmbeddingTokens, VirtualTokens
from starcoder_ls.engine.model_shape import activation_type

TENSOR = "prompt_embeddings"
"""The only tensor of such an adapter. If an encoder was trained, this is its output."""


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
