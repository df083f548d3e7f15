"""The forward pass of GPTBigCode on a CPU: one pass over a small model is mostly Python and dispatch overhead.

It calls the transformers model's own modules, so layers that an adapter has put in their place take effect.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional

from starcoder_ls.engine.kv_cache.cache import KvCache

MAX_BMM_TOKENS = 16
"""Up to so many new tokens attention is two matrix products over the one key-value head; beyond, torch's kernel."""


def supports(model: Any) -> bool:
    """Whether ``model`` has StarCoder's shape: one key-value head, and float32 activations on a CPU."""
    config = model.config
    return (
        type(model).__name__ == "GPTBigCodeForCausalLM"
        and config.multi_query
        and not config.add_cross_attention
        and all(weight.device.type == "cpu" for weight in model.parameters())  # none is offloaded to the disk
        and model.transformer.ln_f.weight.dtype == torch.float32
    )


@dataclass(frozen=True, slots=True)
class _Part:
    """The tokens of one cache in a pass: ``rows`` times ``time`` of them.

    They are ``first`` to before ``last`` of the pass, and ``start`` to before ``end`` of the cache.
    """

    rows: int
    time: int
    start: int
    first: int
    last: int
    end: int


class BigCodeCpu:
    """Computes what the model's own ``forward`` computes, for several caches in one pass."""

    def __init__(self, model: Any) -> None:
        self._body = model.transformer
        self._heads, self._head_dim = model.config.n_head, model.config.n_embd // model.config.n_head
        self._scale = self._head_dim**-0.5 if model.config.scale_attn_weights else 1.0

    def hidden_states(self, inputs: Sequence[tuple[torch.Tensor, KvCache]]) -> list[torch.Tensor]:
        """Hidden states before the last norm of every new token, which are written to the caches.

        All tokens go through a layer's weights at once; each attends to its own cache only.
        ids [rows, time] of each cache -> [rows, time, width] of each
        """
        body = self._body
        parts, first = [], 0
        for ids, cache in inputs:
            rows, time = ids.shape
            parts.append(_Part(rows, time, cache.length, first, first + rows * time, cache.length + time))
            first += rows * time
        ids = torch.cat([ids.view(-1) for ids, _ in inputs]) if len(parts) > 1 else inputs[0][0].view(-1)
        x = body.wte(ids) + self._positions(parts)  # [tokens, width]
        no_mask = x.new_zeros(1, 1)
        masks = [self._score_mask(part, x) if part.time > 1 else no_mask for part in parts]
        storages = [
            cache.writable_storage(part.rows, part.end, x, 1, self._head_dim)
            for part, (_, cache) in zip(parts, inputs, strict=True)
        ]
        for block, layer in zip(body.h, zip(*storages, strict=True), strict=True):
            x = x + self._attention(block.attn, _layer_norm(block.ln_1, x), layer, masks, parts)
            mlp = block.mlp
            x = x + mlp.c_proj(mlp.act(mlp.c_fc(_layer_norm(block.ln_2, x))))
        for part, (_, cache) in zip(parts, inputs, strict=True):
            cache.set_length(part.end)
        return [x[part.first : part.last].view(part.rows, part.time, -1) for part in parts]

    def norm(self, hidden: torch.Tensor) -> torch.Tensor:
        """The last norm, whose output the output layer reads.  # [n, width] -> [n, width]"""
        normed: torch.Tensor = _layer_norm(self._body.ln_f, hidden)
        return normed

    def _positions(self, parts: Sequence[_Part]) -> torch.Tensor:
        """The position embeddings of all tokens.  # [tokens, width]"""
        table, dtype = self._body.wpe.weight, self._body.ln_f.weight.dtype
        embeddings = [table[part.start : part.end] for part in parts for _ in range(part.rows)]
        return (embeddings[0] if len(embeddings) == 1 else torch.cat(embeddings)).to(dtype)

    def _attention(
        self,
        attn: Any,
        x: torch.Tensor,
        layer: Sequence[tuple[torch.Tensor, torch.Tensor]],
        masks: Sequence[torch.Tensor],
        parts: Sequence[_Part],
    ) -> torch.Tensor:
        """[tokens, width] -> [tokens, width]; new keys and values are written behind each part's start."""
        projected = attn.c_attn(x)  # [tokens, width + 2 * dim]
        if len(parts) == 1:
            attended = self._attend(projected, layer[0], masks[0], parts[0])
        else:
            attended = torch.cat(
                [
                    self._attend(projected[part.first : part.last], storage, mask, part)
                    for storage, mask, part in zip(layer, masks, parts, strict=True)
                ]
            )
        output: torch.Tensor = attn.c_proj(attended)
        return output

    def _attend(
        self, projected: torch.Tensor, storage: tuple[torch.Tensor, torch.Tensor], mask: torch.Tensor, part: _Part
    ) -> torch.Tensor:
        """Attention of one part to its own cache.  # [rows * time, width + 2 * dim] -> [rows * time, width]"""
        rows, time, start, end = part.rows, part.time, part.start, part.end
        width, dim = self._heads * self._head_dim, self._head_dim
        query, key, value = torch.split_with_sizes(projected, (width, dim, dim), -1)
        all_keys, all_values = storage[0].select(1, 0), storage[1].select(1, 0)  # [rows, capacity, dim]
        all_keys.narrow(1, start, time).copy_(key.view(rows, time, dim))
        all_values.narrow(1, start, time).copy_(value.view(rows, time, dim))
        keys, values = all_keys.narrow(1, 0, end), all_values.narrow(1, 0, end)
        if time <= MAX_BMM_TOKENS:
            query = query.reshape(rows, time * self._heads, dim)
            # One product scales and masks.  # [rows, time * heads, end]
            scores = torch.baddbmm(mask, query, keys.transpose(1, 2), alpha=self._scale)
            return torch.bmm(scores.softmax(-1), values).reshape(rows * time, width)
        query = query.view(rows, time, self._heads, dim).transpose(1, 2)  # [rows, heads, time, dim]
        shape = (rows, self._heads, end, dim)
        attended = functional.scaled_dot_product_attention(
            query, keys[:, None].expand(shape), values[:, None].expand(shape), attn_mask=mask, scale=self._scale
        )
        return attended.transpose(1, 2).reshape(rows * time, width)

    def _score_mask(self, part: _Part, like: torch.Tensor) -> torch.Tensor:
        """What is added to the scores of a part.

        [time, end], or [time * heads, end] for ``MAX_BMM_TOKENS`` and fewer.
        """
        mask = self._causal_mask(part.time, part.start, like)
        return mask.repeat_interleave(self._heads, 0) if part.time <= MAX_BMM_TOKENS else mask

    def _causal_mask(self, time: int, start: int, like: torch.Tensor) -> torch.Tensor:
        """0 where a new token may attend, else minus infinity.  # [time, start + time]"""
        future = torch.full((time, time), -torch.inf, dtype=like.dtype).triu(1)
        return torch.cat((like.new_zeros(time, start), future), dim=1)


def _layer_norm(norm: Any, x: torch.Tensor) -> torch.Tensor:
    """[n, width] -> [n, width]"""
    normed: torch.Tensor = functional.layer_norm(x, norm.normalized_shape, norm.weight, norm.bias, norm.eps)
    return normed
