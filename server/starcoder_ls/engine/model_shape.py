"""Facts about a transformers model that several parts of the engine need, from its configuration and weights."""

from __future__ import annotations

from typing import Any

import torch


def layer_count(config: Any) -> int:
    """The number of transformer blocks."""
    return int(config.num_hidden_layers)


def key_value_shape(config: Any) -> tuple[int, int, int]:
    """(layers, heads of keys and values, head width) of a transformers configuration."""
    query_heads = int(config.num_attention_heads)
    if getattr(config, "multi_query", False):
        heads = 1
    else:
        heads = int(getattr(config, "num_key_value_heads", None) or query_heads)
    head_width = getattr(config, "head_dim", None) or int(config.hidden_size) // query_heads
    return layer_count(config), heads, int(head_width)


def input_device(model: Any) -> torch.device:
    """The device that token ids are put on."""
    device: torch.device = model.get_input_embeddings().weight.device
    # An embedding on `meta` is offloaded, and accelerate's hooks move what they receive.
    return torch.device("cpu") if device.type == "meta" else device


def accelerators(model: torch.nn.Module) -> tuple[torch.device, ...]:
    """The devices with weights of ``model`` that compute while Python continues: all but the CPU."""
    devices = {weight.device for weight in model.parameters() if weight.device.type not in ("cpu", "meta")}
    return tuple(sorted(devices, key=str))


def activation_type(model: Any) -> tuple[torch.device, torch.dtype]:
    """Device and type of the activations. The type is that of the norms: matrices may be packed or quantized."""
    dtypes = [weight.dtype for weight in model.parameters() if weight.dim() == 1 and weight.is_floating_point()]
    return input_device(model), dtypes[0] if dtypes else torch.float32


def attention_window(config: Any) -> int | None:
    """How many tokens back the layers attend; None is all of them."""
    if set(getattr(config, "layer_types", None) or ()) == {"full_attention"}:
        return None
    window: int | None = getattr(config, "sliding_window", None)
    return window
