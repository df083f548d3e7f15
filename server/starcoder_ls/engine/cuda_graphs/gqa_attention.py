"""Attention for passes over few tokens: the query heads that share a key head are rows of one matrix product.

So no key is copied for each query head. Decides the order and the precision of the products.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

import torch
from transformers.modeling_utils import AttentionInterface

from starcoder_ls.engine import attention_functions

IMPLEMENTATION = "starcoder_ls_gqa"
"""Name under which transformers knows ``attend``."""

SPLIT_KV_TOKENS = 256
"""For a single key head, values are summed in parallel over splits of this many positions: one product over 2,048
positions occupies one of a GPU's hundred processors. 0 disables it."""


def attend(
    _module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor,
    scaling: float,
    dropout: float = 0.0,
    **_unused: Any,
) -> tuple[torch.Tensor, None]:
    """Attention with the signature of transformers' ``AttentionInterface``.

    ``query`` [rows, heads, time, head_dim]; ``key`` and ``value`` [rows, kv_heads, tokens, head_dim];
    ``attention_mask`` [rows, 1, time, tokens], added to the scores in its own type -> [rows, time, heads, head_dim]
    """
    del dropout  # for training only
    rows, heads, time, head_dim = query.shape
    kv_heads, tokens = key.shape[1], key.shape[2]
    group = heads // kv_heads
    grouped_query = query.reshape(rows * kv_heads, group * time, head_dim)
    scores = _multiply_float32(grouped_query, key.flatten(0, 1).transpose(1, 2))  # [rows*kv_heads, group*time, tokens]
    scores = scores.view(rows, kv_heads, group, time, tokens)
    # One kernel scales and masks.
    weights = torch.add(attention_mask[:, :, None], scores, alpha=scaling).softmax(-1).to(value.dtype)
    output = _weighted_values(weights.view(rows * kv_heads, group * time, tokens), value.flatten(0, 1))
    return output.view(rows, heads, time, head_dim).transpose(1, 2), None


def _weighted_values(weights: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """[kv_heads, n, tokens] and [kv_heads, tokens, head_dim] -> [kv_heads, n, head_dim]"""
    kv_heads, n, tokens = weights.shape
    if kv_heads > 1 or not SPLIT_KV_TOKENS or tokens % SPLIT_KV_TOKENS or tokens == SPLIT_KV_TOKENS:
        return torch.bmm(weights, values)
    splits = tokens // SPLIT_KV_TOKENS
    split_weights = weights.view(n, splits, SPLIT_KV_TOKENS).transpose(0, 1)
    # Each partial sum is rounded to the type of the values, as the result is; float32 would take one kernel more.
    sums = torch.bmm(split_weights, values.view(splits, SPLIT_KV_TOKENS, values.shape[2]))  # [splits, n, head_dim]
    return sums.sum(0, keepdim=True)


def _multiply_float32(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """[n, a, b] and [n, b, c] -> [n, a, c], in float32 or wider."""
    if left.dtype.itemsize > 2:
        return torch.bmm(left, right)
    if left.is_cuda:
        return torch.bmm(left, right, out_dtype=torch.float32)
    return torch.bmm(left.float(), right.float())


def installed_in(model: Any) -> AbstractContextManager[None]:
    """Make the layers of ``model`` use ``attend``. Passes must be given an attention mask of four dimensions."""
    return attention_functions.used_by(model, IMPLEMENTATION)


AttentionInterface.register(IMPLEMENTATION, attend)
