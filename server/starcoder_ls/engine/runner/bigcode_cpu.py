"""The forward pass of GPTBigCode with nothing around it, for a CPU: a token of a small model is mostly overhead.

Decides how its modules are called; they are the model's own, so whatever an adapter put in their place takes effect.
Refuses to know which weights they hold.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional

from starcoder_ls.engine.kv_cache.cache import KvCache
from starcoder_ls.engine.runner import bigcode_compiled

_FEW = 16
"""Up to so many new tokens attention is two plain products over the one head of keys; beyond, torch's own kernel."""


def use(model: Any) -> None:
    """Let ``decode.read`` read through a ``LeanReader`` where ``model`` is one that it fits."""
    if _fits(model):
        model.lean = BigCodeCpu(model)


def is_to_be_compiled(model: Any) -> bool:
    """The first pass of ``model`` will compile the kernels that it goes through."""
    reader = model.__dict__.get("lean")
    return reader is not None and reader._native is not None and bigcode_compiled.needs_compilation()


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


@dataclass(frozen=True, slots=True)
class _Part:
    """The tokens of one cache in a pass, ``rows`` times ``time`` of them: ``first`` to before ``last`` in the pass,
    ``start`` to before ``end`` in the cache."""

    rows: int
    time: int
    start: int
    first: int
    last: int
    end: int


class BigCodeCpu:
    """Reads tokens behind what a cache holds, as the model's own ``forward`` would."""

    def __init__(self, model: Any) -> None:
        self._body = model.transformer
        self._native = bigcode_compiled.CompiledBigCode(model) if bigcode_compiled.fits(model) else None
        self.is_adapted = False  # layers are not the base's own for now
        self._heads, self._head_dim = model.config.n_head, model.config.n_embd // model.config.n_head
        self._scale = self._head_dim**-0.5 if model.config.scale_attn_weights else 1.0

    def __call__(self, ids: torch.Tensor, cache: KvCache) -> torch.Tensor:
        """Hidden states before the last norm, of every new token.  # ids [rows, time] -> [rows, time, width]"""
        return self.together([(ids, cache)])[0]

    def together(self, several: Sequence[tuple[torch.Tensor, KvCache]]) -> list[torch.Tensor]:
        """The same for several caches in one pass: all their tokens go through a layer's weights at once, and each
        looks at its own cache alone, from its own place in it.
        """
        if self._native is not None and not self.is_adapted:
            return self._native.together(several)
        body = self._body
        parts, first = [], 0
        for ids, cache in several:
            rows, time = ids.shape
            parts.append(_Part(rows, time, cache.length, first, first + rows * time, cache.length + time))
            first += rows * time
        ids = torch.cat([ids.view(-1) for ids, _ in several]) if len(parts) > 1 else several[0][0].view(-1)
        x = body.wte(ids) + self._positions(parts)  # [tokens, width]
        one = x.new_zeros(1, 1)
        masks = [self._mask_of(part, x) if part.time > 1 else one for part in parts]
        storages = [
            cache.writable_storage(part.rows, part.end, x, self._head_dim)
            for part, (_, cache) in zip(parts, several, strict=True)
        ]
        for block, layer in zip(body.h, zip(*storages, strict=True), strict=True):
            x = x + self._attention(block.attn, _normed(block.ln_1, x), layer, masks, parts)
            mlp = block.mlp
            x = x + mlp.c_proj(mlp.act(mlp.c_fc(_normed(block.ln_2, x))))
        for part, (_, cache) in zip(parts, several, strict=True):
            cache.set_length(part.end)
        return [x[part.first : part.last].view(part.rows, part.time, -1) for part in parts]

    def norm(self, hidden: torch.Tensor) -> torch.Tensor:
        """What the output layer reads."""
        normed: torch.Tensor = _normed(self._body.ln_f, hidden)
        return normed

    def _positions(self, parts: Sequence[_Part]) -> torch.Tensor:
        """What the tokens' places add to them.  # [tokens, width]"""
        table, dtype = self._body.wpe.weight, self._body.ln_f.weight.dtype
        places = [table[part.start : part.end] for part in parts for _ in range(part.rows)]
        return (places[0] if len(places) == 1 else torch.cat(places)).to(dtype)

    def _attention(
        self,
        attn: Any,
        x: torch.Tensor,
        layer: Sequence[tuple[torch.Tensor, torch.Tensor]],
        masks: Sequence[torch.Tensor],
        parts: Sequence[_Part],
    ) -> torch.Tensor:
        """``x`` [tokens, width] -> the same; new keys and values are written behind each part's start."""
        projected = attn.c_attn(x)
        if len(parts) == 1:
            mixed = self._mixed(projected, layer[0], masks[0], parts[0])
        else:
            own = zip(layer, masks, parts, strict=True)
            mixed = torch.cat(
                [self._mixed(projected[part.first : part.last], storage, mask, part) for storage, mask, part in own]
            )
        answer: torch.Tensor = attn.c_proj(mixed)
        return answer

    def _mixed(
        self, projected: torch.Tensor, storage: tuple[torch.Tensor, torch.Tensor], mask: torch.Tensor, part: _Part
    ) -> torch.Tensor:
        """Attention of one part over its own cache.  # [rows * time, width + 2 * dim] -> [rows * time, width]"""
        rows, time, start, end = part.rows, part.time, part.start, part.end
        width, dim = self._heads * self._head_dim, self._head_dim
        query, key, value = torch.split_with_sizes(projected, (width, dim, dim), -1)
        all_keys, all_values = storage[0].select(1, 0), storage[1].select(1, 0)  # [rows, capacity, dim]
        all_keys.narrow(1, start, time).copy_(key.view(rows, time, dim))
        all_values.narrow(1, start, time).copy_(value.view(rows, time, dim))
        keys, values = all_keys.narrow(1, 0, end), all_values.narrow(1, 0, end)
        if time <= _FEW:
            query = query.reshape(rows, time * self._heads, dim)
            # One product scales and masks.  # [rows, time * heads, end]
            scores = torch.baddbmm(mask, query, keys.transpose(1, 2), alpha=self._scale)
            return torch.bmm(scores.softmax(-1), values).reshape(rows * time, width)
        query = query.view(rows, time, self._heads, dim).transpose(1, 2)  # [rows, heads, time, dim]
        shape = (rows, self._heads, end, dim)
        mixed = functional.scaled_dot_product_attention(
            query, keys[:, None].expand(shape), values[:, None].expand(shape), attn_mask=mask, scale=self._scale
        )
        return mixed.transpose(1, 2).reshape(rows * time, width)

    def _mask_of(self, part: _Part, like: torch.Tensor) -> torch.Tensor:
        """What is added to the scores of a part; a row per token, and where they are few one per head too."""
        mask = self._mask(part.time, part.start, like)
        return mask.repeat_interleave(self._heads, 0) if part.time <= _FEW else mask

    def _mask(self, time: int, start: int, like: torch.Tensor) -> torch.Tensor:
        """0 where a new token may look, else minus infinity.  # [time, start + time]"""
        ahead = torch.full((time, time), -torch.inf, dtype=like.dtype).triu(1)
        return torch.cat((like.new_zeros(time, start), ahead), dim=1)


def _normed(norm: Any, x: torch.Tensor) -> torch.Tensor:
    normed: torch.Tensor = functional.layer_norm(x, norm.normalized_shape, norm.weight, norm.bias, norm.eps)
    return normed
