from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch.nn import functional

from starcoder_ls.engine.cuda_graphs import gqa_attention
from starcoder_ls.engine.generation.loaded_model import LoadedModel


def states(rows: int, heads: int, kv_heads: int, time: int, tokens: int) -> list[torch.Tensor]:
    """Return query, keys, values and an additive mask. Keys and values are views of larger rows, as in a StaticKv."""
    random = torch.Generator().manual_seed(rows + heads + time)
    query = torch.randn(rows, time, heads, 16, generator=random, dtype=torch.float64).transpose(1, 2)
    pool = torch.randn(2, rows, kv_heads, tokens + 8, 16, generator=random, dtype=torch.float64)
    is_hidden = torch.rand(rows, 1, time, tokens, generator=random) < 0.4
    is_hidden[..., 0] = False
    mask = torch.zeros(is_hidden.shape, dtype=torch.float64).masked_fill_(is_hidden, torch.finfo(torch.float64).min)
    return [query, pool[0, :, :, :tokens], pool[1, :, :, :tokens], mask]


def expected(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    group = query.shape[1] // key.shape[1]
    key, value = (x.repeat_interleave(group, 1) for x in (key, value))
    return functional.scaled_dot_product_attention(query, key, value, attn_mask=mask, scale=0.3).transpose(1, 2)


@pytest.mark.parametrize("split", [0, 16, 64])
@pytest.mark.parametrize(("rows", "heads", "kv_heads", "time", "tokens"), [
    (1, 4, 1, 1, 64), (1, 4, 1, 5, 64), (1, 6, 2, 3, 64), (3, 4, 1, 2, 64), (2, 6, 3, 4, 48), (1, 2, 2, 1, 17),
    (1, 4, 1, 8, 16),
])  # fmt: skip
def test_attend_agrees_with_scaled_dot_product_attention(
    rows: int, heads: int, kv_heads: int, time: int, tokens: int, split: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gqa_attention, "SPLIT_KV_TOKENS", split)
    inputs = states(rows, heads, kv_heads, time, tokens)
    output, weights = gqa_attention.attend(None, *inputs, scaling=0.3)
    assert weights is None
    torch.testing.assert_close(output, expected(*inputs), rtol=0, atol=1e-12)


@pytest.mark.parametrize("split", [0, 256])
def test_bfloat16_is_multiplied_and_summed_in_float32(split: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the attention weights and the result are rounded."""
    monkeypatch.setattr(gqa_attention, "SPLIT_KV_TOKENS", split)
    query, key, value, mask = states(1, 8, 1, 4, 1024)
    rounded = [x.bfloat16() for x in (query, key, value)]
    output, _ = gqa_attention.attend(None, *rounded, mask.clamp_min(-1e38).float(), scaling=0.3)
    exact = expected(*(x.double() for x in rounded), mask)
    assert output.dtype == torch.bfloat16
    assert float((output.double() - exact).abs().max()) < 0.01 * float(exact.abs().max())


def test_attention_is_installed_within_the_context_only(
    starcoder: Path, doubled: Callable[[Path], LoadedModel]
) -> None:
    model = doubled(starcoder).runner.model
    with gqa_attention.installed_in(model):
        assert model.base_model.h[0].attn.config._attn_implementation == gqa_attention.IMPLEMENTATION
    with contextlib.suppress(ValueError), gqa_attention.installed_in(model):
        raise ValueError
    assert model.config._attn_implementation == "sdpa"
