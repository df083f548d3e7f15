"""Attention for passes over few tokens: the query heads that share a key head are rows of one matrix product.

So no key is copied for each query head. Decides the order and the precision of the products.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

import torch
from transformers.modeling_utils import AttentionInterface

from starcoder_ls.engine import attention_functions
from starcoder_ls.engine.kv_cache.static_kv import POSITION_MULTIPLE

IMPLEMENTATION = "starcoder_ls_gqa"
"""Name under which transformers knows ``attend``."""

SPLIT_KV_TOKENS = 256
"""For a single key head, values are summed in parallel over splits of this many positions: one product over 2,048
positions occupies one of a GPU's hundred processors. 0 disables it."""

GROUPED_SPLIT_KV_TOKENS = POSITION_MULTIPLE
"""The same for several key heads, each of which occupies processors of its own. 0 disables it."""

MAX_SPLIT_KV_HEADS = 16
"""With more heads, those of all rows counted, one product per head occupies the device."""

MAX_READ_FACTOR = 3
"""Several key heads are not split if the products would read more than this many times the values that are needed."""


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
    weights = torch.add(attention_mask[:, :, None], scores, alpha=scaling).softmax(-1)
    output = _weighted_values(weights.view(rows * kv_heads, group * time, tokens), value.flatten(0, 1))
    return output.view(rows, heads, time, head_dim).transpose(1, 2), None


def _weighted_values(weights: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """[kv_heads, n, tokens] and [kv_heads, tokens, head_dim] -> [kv_heads, n, head_dim], in the type of the values.

    Each partial sum is rounded to that type, as the result is; float32 would take one kernel more.
    """
    kv_heads, n, tokens = weights.shape
    if kv_heads > 1:
        if (distance := _split_distance(values)) is not None:
            return _split_grouped_values(weights, values, distance)
        return torch.bmm(weights.to(values.dtype), values)
    weights = weights.to(values.dtype)
    if not SPLIT_KV_TOKENS or tokens % SPLIT_KV_TOKENS or tokens == SPLIT_KV_TOKENS:
        return torch.bmm(weights, values)
    splits = tokens // SPLIT_KV_TOKENS
    split_weights = weights.view(n, splits, SPLIT_KV_TOKENS).transpose(0, 1)
    sums = torch.bmm(split_weights, values.view(splits, SPLIT_KV_TOKENS, values.shape[2]))  # [splits, n, head_dim]
    return sums.sum(0, keepdim=True)


def _split_distance(values: torch.Tensor) -> int | None:
    """How many splits the storage has from one key head to the next; None if ``values`` cannot or need not be split.

    A batch of products needs operands at equal distances. The splits of all heads have them if the positions of a head,
    those behind ``values`` [kv_heads, tokens, head_dim] included, are a multiple of the split.
    """
    split, (kv_heads, tokens, head_dim) = GROUPED_SPLIT_KV_TOKENS, values.shape
    if torch.compiler.is_compiling():  # inductor would copy the storage for a view of it by strides
        return None
    if not split or kv_heads > MAX_SPLIT_KV_HEADS or tokens % split or tokens == split:
        return None
    distance, rest = divmod(values.stride(0), split * head_dim)
    is_uniform = not rest and values.stride()[1:] == (head_dim, 1)
    return distance if is_uniform and distance <= MAX_READ_FACTOR * (tokens // split) else None


def _split_grouped_values(weights: torch.Tensor, values: torch.Tensor, distance: int) -> torch.Tensor:
    """``_weighted_values`` of several heads by one batch of products over the splits of all heads.

    The batch contains the splits behind the tokens of each head too, whose weights are not set and whose products are
    not used. As many kernels as without splits, and one that adds the partial sums.
    """
    split, (kv_heads, n, tokens), head_dim = GROUPED_SPLIT_KV_TOKENS, weights.shape, values.shape[2]
    splits = tokens // split
    count = (kv_heads - 1) * distance + splits  # the storage may end after the tokens of the last head
    split_weights = values.new_empty(kv_heads, distance, n, split)
    split_weights[:, :splits].copy_(weights.view(kv_heads, n, splits, split).transpose(1, 2))  # also rounds them
    split_values = values.as_strided((count, split, head_dim), (split * head_dim, head_dim, 1))
    sums = values.new_empty(kv_heads, distance, n, head_dim)
    torch.bmm(split_weights.flatten(0, 1)[:count], split_values, out=sums.flatten(0, 1)[:count])
    return sums[:, :splits].sum(1)


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
