"""Ways to attend over one head of keys, for benchmarks/gpu.py to compare: those in use, and those that might be.

All read keys that lie in rows of their own, and answer [rows, new, heads, width].
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch.nn import functional

from starcoder_ls.engine.cuda_graphs import gqa_attention, static_pass


@dataclass
class Given:
    """The last ``new`` of ``tokens`` places look back, in each of ``rows``."""

    heads: int
    dim: int
    rows: int
    new: int
    tokens: int
    query: torch.Tensor = field(init=False)
    keys: torch.Tensor = field(init=False)
    values: torch.Tensor = field(init=False)
    mask: torch.Tensor = field(init=False)

    def draw(self, device: torch.device, dtype: torch.dtype) -> None:
        self.query = torch.randn(self.rows, self.new, self.heads, self.dim, device=device, dtype=dtype).transpose(1, 2)
        self.keys, self.values = torch.randn(2, self.rows, 1, self.tokens, self.dim, device=device, dtype=dtype)
        places = torch.arange(self.tokens, device=device)
        self.mask = static_pass.causal_mask(places[-self.new :].expand(self.rows, -1), places, None, torch.float32)

    @property
    def scale(self) -> float:
        return self.dim**-0.5

    def exact(self) -> torch.Tensor:
        doubles = (states.double().expand(-1, self.heads, -1, -1) for states in (self.keys, self.values))
        mixed = functional.scaled_dot_product_attention(self.query.double(), *doubles, attn_mask=self.mask.double())
        return mixed.transpose(1, 2)


def ways(given: Given) -> dict[str, Callable[[], torch.Tensor]]:
    found = {"sdpa": lambda: sdpa(given)}
    for split in (0, 128, 256, 512):
        found[f"in pieces of {split}" if split else "ours, whole"] = lambda split=split: ours(given, split)  # type: ignore[misc]
    found["flash, by lengths"] = lambda: flash(given)
    if given.rows == 1:
        bias = piecewise_bias(given, 256)
        found["efficient, in pieces of 256"] = lambda: efficient(given, 256, bias)
    else:
        found["efficient, in pieces of 256"] = lambda: refused()
    return found


def refused() -> torch.Tensor:
    raise NotImplementedError("for one row")


def sdpa(given: Given) -> torch.Tensor:
    """As transformers calls it: the one head of keys is copied for each of the queries."""
    both = (states.expand(-1, given.heads, -1, -1).contiguous() for states in (given.keys, given.values))
    bias = given.mask.to(given.query.dtype)
    return functional.scaled_dot_product_attention(given.query, *both, attn_mask=bias).transpose(1, 2)


def ours(given: Given, split: int) -> torch.Tensor:
    before, gqa_attention.SPLIT_KV_TOKENS = gqa_attention.SPLIT_KV_TOKENS, split
    try:
        return gqa_attention.attend(None, given.query, given.keys, given.values, given.mask, scaling=given.scale)[0]
    finally:
        gqa_attention.SPLIT_KV_TOKENS = before


def flash(given: Given) -> torch.Tensor:
    """FlashAttention over packed rows, their lengths on the device: one kernel, no mask, heads of keys as they are."""
    device, tokens = given.query.device, given.tokens
    packed = given.query.transpose(1, 2).reshape(given.rows * given.new, given.heads, given.dim)
    keys, values = (states.reshape(given.rows * tokens, 1, given.dim) for states in (given.keys, given.values))
    count = torch.arange(given.rows + 1, device=device, dtype=torch.int32)
    lengths = torch.full((given.rows,), tokens, device=device, dtype=torch.int32)
    mixed = torch.ops.aten._flash_attention_forward(
        packed, keys, values, count * given.new, count * tokens, given.new, tokens, 0.0, True, False,
        scale=given.scale, seqused_k=lengths,
    )[0]  # fmt: skip
    return mixed.view(given.rows, given.new, given.heads, given.dim)


def piecewise_bias(given: Given, split: int) -> torch.Tensor:
    """Made once a pass, for all layers.  # [pieces, 1, heads * new, split]"""
    wide = given.mask.expand(1, given.heads, given.new, given.tokens).reshape(-1, given.tokens // split, split)
    return wide.transpose(0, 1)[:, None].to(given.query.dtype).contiguous()


def efficient(given: Given, split: int, bias: torch.Tensor) -> torch.Tensor:
    """The pieces as rows of torch's fused kernel, merged by the sums that it tells."""
    pieces, count = given.tokens // split, given.heads * given.new
    query = given.query.reshape(1, 1, count, given.dim).expand(pieces, -1, -1, -1)
    keys, values = (states.view(pieces, 1, split, given.dim) for states in (given.keys, given.values))
    mixed, sums = torch.ops.aten._scaled_dot_product_efficient_attention(
        query, keys, values, bias, True, 0.0, False, scale=given.scale
    )[:2]
    shares = sums[:, 0, :count, None].softmax(0)  # [pieces, heads * new, 1]
    merged = (mixed[:, 0] * shares).sum(0).to(given.query.dtype)
    return merged.view(1, given.heads, given.new, given.dim).transpose(1, 2)
