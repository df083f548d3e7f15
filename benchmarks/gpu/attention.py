"""Implementations of attention over one head of keys: the one in use, transformers' own, and two alternatives.

All read keys from rows of a StaticKv, and return [rows, new, heads, head_dim].
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch.nn import functional

from starcoder_ls.engine.cuda_graphs import gqa_attention, static_pass

SPLITS = (0, 128, 256, 512)


@dataclass
class AttentionInputs:
    """Random states of ``rows`` sequences, whose last ``new`` of ``tokens`` positions attend to those up to their own.

    query [rows, heads, new, head_dim]; keys, values [rows, 1, tokens, head_dim]; mask [rows, 1, new, tokens]
    """

    heads: int
    head_dim: int
    rows: int
    new: int
    tokens: int
    query: torch.Tensor = field(init=False)
    keys: torch.Tensor = field(init=False)
    values: torch.Tensor = field(init=False)
    mask: torch.Tensor = field(init=False)

    def fill(self, device: torch.device, dtype: torch.dtype) -> None:
        query = torch.randn(self.rows, self.new, self.heads, self.head_dim, device=device, dtype=dtype)
        self.query = query.transpose(1, 2)
        self.keys, self.values = torch.randn(2, self.rows, 1, self.tokens, self.head_dim, device=device, dtype=dtype)
        positions = torch.arange(self.tokens, device=device)
        new_positions = positions[-self.new :].expand(self.rows, -1)
        self.mask = static_pass.causal_mask(new_positions, positions, None, torch.float32)

    @property
    def scale(self) -> float:
        return self.head_dim**-0.5

    def expected(self) -> torch.Tensor:
        """Return the attention output computed in float64."""
        states = (states.double().expand(-1, self.heads, -1, -1) for states in (self.keys, self.values))
        output = functional.scaled_dot_product_attention(self.query.double(), *states, attn_mask=self.mask.double())
        return output.transpose(1, 2)


def implementations(inputs: AttentionInputs) -> dict[str, Callable[[], torch.Tensor]]:
    """Return all implementations by name. Calling one raises RuntimeError if its kernel does not support the inputs,
    or NotImplementedError."""
    by_name: dict[str, Callable[[], torch.Tensor]] = {"sdpa": lambda: sdpa(inputs)}
    for split in SPLITS:
        name = f"ours, splits of {split}" if split else "ours, whole"
        by_name[name] = lambda split=split: grouped(inputs, split)  # type: ignore[misc]
    by_name["flash, with lengths"] = lambda: flash(inputs)
    bias = split_bias(inputs, 256) if inputs.rows == 1 else None  # made once per pass, for all layers
    by_name["efficient, splits of 256"] = lambda: efficient(inputs, 256, bias)
    return by_name


def sdpa(inputs: AttentionInputs) -> torch.Tensor:
    """As transformers calls it: the head of keys is copied for each query head."""
    states = (states.expand(-1, inputs.heads, -1, -1).contiguous() for states in (inputs.keys, inputs.values))
    bias = inputs.mask.to(inputs.query.dtype)
    return functional.scaled_dot_product_attention(inputs.query, *states, attn_mask=bias).transpose(1, 2)


def grouped(inputs: AttentionInputs, split: int) -> torch.Tensor:
    """The implementation in use, with another ``SPLIT_KV_TOKENS``."""
    before, gqa_attention.SPLIT_KV_TOKENS = gqa_attention.SPLIT_KV_TOKENS, split
    try:
        query, keys, values = inputs.query, inputs.keys, inputs.values
        return gqa_attention.attend(None, query, keys, values, inputs.mask, scaling=inputs.scale)[0]
    finally:
        gqa_attention.SPLIT_KV_TOKENS = before


def flash(inputs: AttentionInputs) -> torch.Tensor:
    """FlashAttention over packed rows with their lengths on the device: one kernel, no mask, keys not copied."""
    device, tokens = inputs.query.device, inputs.tokens
    packed = inputs.query.transpose(1, 2).reshape(inputs.rows * inputs.new, inputs.heads, inputs.head_dim)
    keys, values = (states.reshape(inputs.rows * tokens, 1, inputs.head_dim) for states in (inputs.keys, inputs.values))
    row_numbers = torch.arange(inputs.rows + 1, device=device, dtype=torch.int32)
    lengths = torch.full((inputs.rows,), tokens, device=device, dtype=torch.int32)
    output = torch.ops.aten._flash_attention_forward(
        packed, keys, values, row_numbers * inputs.new, row_numbers * tokens, inputs.new, tokens, 0.0, True, False,
        scale=inputs.scale, seqused_k=lengths,
    )[0]  # fmt: skip
    return output.view(inputs.rows, inputs.new, inputs.heads, inputs.head_dim)


def split_bias(inputs: AttentionInputs, split: int) -> torch.Tensor:
    """Return the mask of each split.  # [splits, 1, heads * new, split]"""
    mask = inputs.mask.expand(1, inputs.heads, inputs.new, inputs.tokens)
    mask = mask.reshape(-1, inputs.tokens // split, split)
    return mask.transpose(0, 1)[:, None].to(inputs.query.dtype).contiguous()


def efficient(inputs: AttentionInputs, split: int, bias: torch.Tensor | None) -> torch.Tensor:
    """Splits as rows of torch's memory-efficient kernel, merged by the log-sum-exp that it returns. For one row."""
    if bias is None:
        raise NotImplementedError("for one row")
    splits, count = inputs.tokens // split, inputs.heads * inputs.new
    query = inputs.query.reshape(1, 1, count, inputs.head_dim).expand(splits, -1, -1, -1)
    keys, values = (states.view(splits, 1, split, inputs.head_dim) for states in (inputs.keys, inputs.values))
    outputs, log_sums = torch.ops.aten._scaled_dot_product_efficient_attention(
        query, keys, values, bias, True, 0.0, False, scale=inputs.scale
    )[:2]
    weights = log_sums[:, 0, :count, None].softmax(0)  # [splits, heads * new, 1]
    merged = (outputs[:, 0] * weights).sum(0).to(inputs.query.dtype)
    return merged.view(1, inputs.heads, inputs.new, inputs.head_dim).transpose(1, 2)
