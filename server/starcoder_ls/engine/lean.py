"""The forward pass of GPTBigCode with nothing around it, for a CPU: a token of a small model is mostly overhead.

Decides how its modules are called; they are the model's own, so whatever an adapter put in their place takes effect.
Refuses to know which weights they hold.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional

from starcoder_ls.engine.kv import KvCache

_FEW = 16
"""Up to so many new tokens attention is two plain products over the one head of keys; beyond, torch's own kernel."""


def use(model: Any) -> None:
    """Let ``decode.read`` read through a ``LeanReader`` where ``model`` is one that it fits."""
    if _fits(model):
        model.lean = LeanReader(model)


def _fits(model: Any) -> bool:
    """StarCoder's shape alone: one head of keys and values; and activations of one type on a CPU."""
    config = model.config
    return (
        type(model).__name__ == "GPTBigCodeForCausalLM"
        and config.multi_query
        and not config.add_cross_attention
        and all(weight.device.type == "cpu" for weight in model.parameters())  # none is offloaded to the disk
        and model.transformer.ln_f.weight.dtype == torch.float32
    )


class LeanReader:
    """Reads tokens behind what a cache holds, as the model's own ``forward`` would."""

    def __init__(self, model: Any) -> None:
        self._body = model.transformer
        self._heads, self._head_dim = model.config.n_head, model.config.n_embd // model.config.n_head
        self._scale = self._head_dim**-0.5 if model.config.scale_attn_weights else 1.0

    def __call__(self, ids: torch.Tensor, cache: KvCache) -> torch.Tensor:
        """Hidden states before the last norm, of every new token.  # ids [rows, time] -> [rows, time, width]"""
        rows, time = ids.shape
        start = cache.length
        body = self._body
        x = body.wte(ids) + body.wpe.weight[start : start + time].to(body.ln_f.weight.dtype)
        x = x.view(rows * time, -1)
        mask = self._mask(time, start, x) if time > 1 else x.new_zeros(1, 1)
        if 1 < time <= _FEW:
            mask = mask.repeat_interleave(self._heads, 0)  # a row of scores per token and head
        for block, layer in zip(body.h, cache.storages(rows, start + time, x, self._head_dim), strict=True):
            x = x + self._attention(block.attn, _normed(block.ln_1, x), layer, start, mask, rows, time)
            mlp = block.mlp
            x = x + mlp.c_proj(mlp.act(mlp.c_fc(_normed(block.ln_2, x))))
        cache.advance(start + time)
        hidden: torch.Tensor = x.view(rows, time, -1)
        return hidden

    def norm(self, hidden: torch.Tensor) -> torch.Tensor:
        """What the output layer reads."""
        normed: torch.Tensor = _normed(self._body.ln_f, hidden)
        return normed

    def _attention(
        self,
        attn: Any,
        x: torch.Tensor,
        storage: tuple[torch.Tensor, torch.Tensor],
        start: int,
        mask: torch.Tensor,
        rows: int,
        time: int,
    ) -> torch.Tensor:
        """``x`` [rows * time, width] -> the same; new keys and values are written behind ``start``."""
        width, dim, end = self._heads * self._head_dim, self._head_dim, start + time
        query, key, value = attn.c_attn(x).split((width, dim, dim), dim=-1)
        keys, values = (stored.select(1, 0).narrow(1, 0, end) for stored in storage)  # [rows, end, dim]
        keys.narrow(1, start, time).copy_(key.view(rows, time, dim))
        values.narrow(1, start, time).copy_(value.view(rows, time, dim))
        if time <= _FEW:
            query = query.reshape(rows, time * self._heads, dim)
            # One product scales and masks.  # [rows, time * heads, end]
            scores = torch.baddbmm(mask, query, keys.transpose(1, 2), alpha=self._scale)
            mixed = torch.bmm(scores.softmax(-1), values).reshape(rows * time, width)
        else:
            query = query.view(rows, time, self._heads, dim).transpose(1, 2)  # [rows, heads, time, dim]
            shape = (rows, self._heads, end, dim)
            mixed = functional.scaled_dot_product_attention(
                query, keys[:, None].expand(shape), values[:, None].expand(shape), attn_mask=mask, scale=self._scale
            )
            mixed = mixed.transpose(1, 2).reshape(rows * time, width)
        projected: torch.Tensor = attn.c_proj(mixed)
        return projected

    def _mask(self, time: int, start: int, like: torch.Tensor) -> torch.Tensor:
        """0 where a new token may look, else minus infinity.  # [time, start + time]"""
        ahead = torch.full((time, time), -torch.inf, dtype=like.dtype).triu(1)
        return torch.cat((like.new_zeros(time, start), ahead), dim=1)


def _normed(norm: Any, x: torch.Tensor) -> torch.Tensor:
    normed: torch.Tensor = functional.layer_norm(x, norm.normalized_shape, norm.weight, norm.bias, norm.eps)
    return normed
