"""Causal attention of whole rows for training on a CPU: matrix products of blocks of queries with the keys before them.

PyTorch's flash kernel for CPUs computes in float32 whatever the types are. Here all products are ordinary ones, in the
type of autocast, which the processor's instructions for bfloat16 compute; heads that share a key are one product. The
probabilities are kept for the backward pass (``kept_values``).
"""

from __future__ import annotations

import functools
from contextlib import AbstractContextManager
from typing import Any

import torch
from transformers.modeling_utils import AttentionInterface

from starcoder_ls.engine import attention_functions

IMPLEMENTATION = "starcoder_ls_blockwise"
"""Name under which transformers knows ``attend``. transformers builds no mask for names it has no mask function for."""

BLOCK = 128
"""Queries in a block: 128 was the fastest of 128, 256 and 512 with four heads of width 64."""


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
    assert not dropout, "switched off for training (training_base.switch_dropout_off), and 0 in evaluation mode"
    if torch.is_autocast_enabled("cpu"):
        dtype = torch.get_autocast_dtype("cpu")
        query, key, value = query.to(dtype), key.to(dtype), value.to(dtype)
    rows, heads, time, width = query.shape
    groups = rows * key.shape[1]
    # the heads of a group, one after the other, read the same keys
    scaled = (query * scaling).reshape(groups, -1, time, width)
    output = _BlockwiseAttention.apply(scaled, key.reshape(groups, time, width), value.reshape(groups, time, width))  # type: ignore[no-untyped-call]
    return output.view(rows, heads, time, width).transpose(1, 2).contiguous(), None


def installed_in(model: Any) -> AbstractContextManager[None]:
    """Make the layers of ``model``, which is on a CPU, use ``attend`` for passes without a cache."""
    return attention_functions.used_by(model, IMPLEMENTATION)


def kept_values(heads: int, tokens: int, row_tokens: int) -> int:
    """The number of a layer's probabilities, for ``tokens`` in rows of ``row_tokens``."""
    return heads * tokens * (row_tokens + BLOCK) // 2  # on average half of a row


class _BlockwiseAttention(torch.autograd.Function):
    """``query`` [groups, heads of a group, time, head_dim], scaled; ``key`` and ``value`` [groups, time, head_dim]."""

    @staticmethod
    def forward(ctx: Any, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        groups, heads, time, width = query.shape
        output, kept = torch.empty_like(query), []
        for start in range(0, time, BLOCK):
            end = min(time, start + BLOCK)
            block = query[:, :, start:end].reshape(groups, -1, width)
            scores = torch.bmm(block, key[:, :end].transpose(1, 2)).view(groups, heads, end - start, end)
            scores[..., start:].masked_fill_(_later(end - start), float("-inf"))
            probabilities = torch.softmax(scores, -1).view(groups, -1, end)
            output[:, :, start:end] = torch.bmm(probabilities, value[:, :end]).view(groups, heads, -1, width)
            kept.append(probabilities)
        ctx.save_for_backward(query, key, value, *kept)
        return output

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        query, key, value, *kept = ctx.saved_tensors
        (gradient,) = gradients
        groups, heads, time, width = query.shape
        to_query = torch.empty_like(query)
        # sums over blocks, in float32 at least
        sum_type = torch.promote_types(query.dtype, torch.float32)
        to_key, to_value = torch.zeros_like(key, dtype=sum_type), torch.zeros_like(value, dtype=sum_type)
        for probabilities, start in zip(kept, range(0, time, BLOCK), strict=True):
            end = min(time, start + BLOCK)
            block = query[:, :, start:end].reshape(groups, -1, width)
            to_output = gradient[:, :, start:end].reshape(groups, -1, width)
            to_value[:, :end] += torch.bmm(probabilities.transpose(1, 2), to_output)
            to_probabilities = torch.bmm(to_output, value[:, :end].transpose(1, 2))
            to_scores = torch._softmax_backward_data(to_probabilities, probabilities, -1, query.dtype)
            to_query[:, :, start:end] = torch.bmm(to_scores, key[:, :end]).view(groups, heads, -1, width)
            to_key[:, :end] += torch.bmm(to_scores.transpose(1, 2), block)
        return to_query, to_key.to(key.dtype), to_value.to(value.dtype)


@functools.lru_cache(maxsize=2 * BLOCK)
def _later(count: int) -> torch.Tensor:
    """Which keys of a block are after each of its queries.  # [count, count]"""
    return torch.ones(count, count, dtype=torch.bool).triu(1)


AttentionInterface.register(IMPLEMENTATION, attend)
