"""Attention of a chunk to the tokens before it, on a GPU: without a mask, so that the flash kernel can be used.

transformers passes a mask of [time, tokens] for a chunk behind other tokens, and with a mask there is no flash kernel.
Keys that several query heads share are not copied.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

import torch
from torch.nn import functional
from torch.nn.attention.bias import causal_lower_right
from transformers.modeling_utils import AttentionInterface

from starcoder_ls.engine import attention_functions, model_shape

IMPLEMENTATION = "starcoder_ls_prefill"
"""Name under which transformers knows ``attend``. transformers builds no mask for names it has no mask function for."""


def supports(model: Any, tokens: int) -> bool:
    """Whether every token of a sequence of ``tokens`` attends to all before it, and the model is loaded with sdpa."""
    window = model_shape.attention_window(model.config)
    return model.config._attn_implementation == "sdpa" and (window is None or tokens <= window)


def attend(
    _module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float,
    dropout: float = 0.0,
    **_unused: Any,
) -> tuple[torch.Tensor, None]:
    """Causal attention of the last tokens of each row to all of it, for transformers' ``AttentionInterface``.

    ``query`` [rows, heads, time, head_dim]; ``key`` and ``value`` [rows, kv_heads, tokens, head_dim] ->
    [rows, time, heads, head_dim]
    """
    del dropout  # for training only
    assert attention_mask is None, "all rows have equally many tokens"
    time, tokens = query.shape[2], key.shape[2]
    bias = None if time == 1 else causal_lower_right(time, tokens)
    is_grouped = query.shape[1] != key.shape[1]
    output = functional.scaled_dot_product_attention(
        query, key, value, attn_mask=bias, scale=scaling, enable_gqa=is_grouped
    )
    return output.transpose(1, 2).contiguous(), None


def installed_in(model: Any) -> AbstractContextManager[None]:
    """Make the layers of ``model`` use ``attend``, for passes without padding."""
    return attention_functions.used_by(model, IMPLEMENTATION)


AttentionInterface.register(IMPLEMENTATION, attend)
