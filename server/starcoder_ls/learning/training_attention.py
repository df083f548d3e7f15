"""Attention of whole rows in training: causal without a mask, so that a GPU has its flash kernel also when compiled.

While torch.compile traces a model, transformers builds a mask from the positions, and with a mask there is no flash
kernel. On a CPU transformers' own attention stays; ``blockwise_attention`` is for passes there that are not compiled.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch.nn import functional
from transformers.modeling_utils import AttentionInterface

from starcoder_ls.engine import attention_functions

IMPLEMENTATION = "starcoder_ls_training"
"""Name under which transformers knows ``attend``. transformers builds no mask for names it has no mask function for."""


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
    """Causal attention within each row, for transformers' ``AttentionInterface``.

    ``query`` [rows, heads, time, head_dim]; ``key`` and ``value`` [rows, kv_heads, time, head_dim] ->
    [rows, time, heads, head_dim]
    """
    assert attention_mask is None, "padding is at the end of a row, where no token attends to it"
    output = functional.scaled_dot_product_attention(
        query,
        key,
        value,
        dropout_p=dropout,
        is_causal=True,
        scale=scaling,
        enable_gqa=query.shape[1] != key.shape[1],
    )
    return output.transpose(1, 2).contiguous(), None


def installed_in(model: Any) -> AbstractContextManager[None]:
    """Make the layers of ``model`` use ``attend`` for passes without a cache, unless they are on a CPU."""
    is_on_cpu = next(model.parameters()).device.type == "cpu"
    return nullcontext() if is_on_cpu else attention_functions.used_by(model, IMPLEMENTATION)


AttentionInterface.register(IMPLEMENTATION, attend)
