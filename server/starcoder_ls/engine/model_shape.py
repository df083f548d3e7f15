"""Facts about a transformers model that several parts of the engine need, from its configuration and weights."""

from __future__ import annotations

from typing import Any

import torch


def key_value_shape(config: Any) -> tuple[int, int, int]:
    """(layers, heads of keys and values, head width) of a transformers configuration."""
    query_heads = int(config.num_attention_heads)
    if getattr(config, "multi_query", False):
        heads = 1
    else:
        heads = int(getattr(config, "num_key_value_heads", None) or query_heads)
    head_width = getattr(config, "head_dim", None) or int(config.hidden_size) // query_heads
    return int(config.num_hidden_layers), heads, int(head_width)


def activation_type(model: Any) -> tuple[torch.device, torch.dtype]:
    """Device and type of the activations. The type is that of the norms: matrices may be packed or quantized."""
    device = model.get_input_embeddings().weight.device
    dtypes = [weight.dtype for weight in model.parameters() if weight.dim() == 1 and weight.is_floating_point()]
    return torch.device("cpu") if device.type == "meta" else device, dtypes[0] if dtypes else torch.float32
