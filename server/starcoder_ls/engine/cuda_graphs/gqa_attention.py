"""Attention for passes over few tokens: the heads that share keys are rows of one product, so that no key is copied.

Decides in which order the products are taken and in which precision. Refuses to know caches, and who may look where.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from transformers.modeling_utils import AttentionInterface

IMPLEMENTATION = "starcoder_ls_grouped"

SPLIT_KV_TOKENS = 256
"""Values of one head are summed in pieces of so many tokens, side by side: one product over 2,048 of them has work for
one of a GPU's hundred processors. 0 is never."""


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
    """As transformers calls it.

    ``query`` [rows, heads, time, dim]; ``key``, ``value`` [rows, heads of keys, tokens, dim]; ``attention_mask``, added
    to the scores in their own type, [rows, 1, time, tokens]  ->  [rows, time, heads, dim]
    """
    del dropout  # nobody trains here
    rows, heads, time, dim = query.shape
    key_heads, tokens = key.shape[1], key.shape[2]
    group = heads // key_heads
    grouped = query.reshape(rows * key_heads, group * time, dim)
    scores = _product(grouped, key.flatten(0, 1).transpose(1, 2))  # [rows * key heads, group * time, tokens]
    scores = scores.view(rows, key_heads, group, time, tokens)
    # One kernel scales and masks.
    shares = torch.add(attention_mask[:, :, None], scores, alpha=scaling).softmax(-1).to(value.dtype)
    mixed = _weighted(shares.view(rows * key_heads, group * time, tokens), value.flatten(0, 1))
    return mixed.view(rows, heads, time, dim).transpose(1, 2), None


def _weighted(shares: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """[heads of keys, n, tokens] and [heads of keys, tokens, dim] -> [heads of keys, n, dim]"""
    count, n, tokens = shares.shape
    if count > 1 or not SPLIT_KV_TOKENS or tokens % SPLIT_KV_TOKENS or tokens == SPLIT_KV_TOKENS:
        return torch.bmm(shares, values)
    pieces = tokens // SPLIT_KV_TOKENS
    apart = shares.view(n, pieces, SPLIT_KV_TOKENS).transpose(0, 1)
    # Each sum is rounded as the answer is, which costs no more than that does, and a kernel less than in float32.
    sums = torch.bmm(apart, values.view(pieces, SPLIT_KV_TOKENS, values.shape[2]))  # [pieces, n, dim]
    return sums.sum(0, keepdim=True)


def _product(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """[n, a, b] and [n, b, c] -> [n, a, c], in float32 or wider."""
    if left.dtype.itemsize > 2:
        return torch.bmm(left, right)
    if left.is_cuda:
        return torch.bmm(left, right, out_dtype=torch.float32)
    return torch.bmm(left.float(), right.float())


@contextmanager
def installed_in(model: Any) -> Iterator[None]:
    """The layers of ``model`` attend as above. A mask of four dimensions must be given."""
    AttentionInterface.register(IMPLEMENTATION, attend)
    configs = {id(config): config for config in (model.config, model.base_model.config)}.values()
    before = [config._attn_implementation_internal for config in configs]
    try:
        for config in configs:
            config._attn_implementation_internal = IMPLEMENTATION
        yield
    finally:
        for config, name in zip(configs, before, strict=True):
            config._attn_implementation_internal = name
