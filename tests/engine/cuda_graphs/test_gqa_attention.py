from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode

from starcoder_ls.engine.cuda_graphs import gqa_attention
from starcoder_ls.engine.generation.loaded_model import LoadedModel
from starcoder_ls.engine.kv_cache.static_kv import StaticKv


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


def grouped_states(rows: int, kv_heads: int, group: int, tokens: int, positions: int, dtype: torch.dtype) -> Any:
    """As ``states``, in rows of ``positions``; what lies behind the tokens is NaN, and must not be used."""
    query, _, _, mask = states(rows, group * kv_heads, kv_heads, 3, tokens)
    pool = torch.full((2, rows, kv_heads, positions, 16), torch.nan, dtype=torch.float64)
    pool[:, :, :, :tokens] = torch.randn(2, rows, kv_heads, tokens, 16, generator=torch.Generator().manual_seed(1))
    pool = pool.to(dtype)
    return query.to(dtype), pool[0, :, :, :tokens], pool[1, :, :, :tokens], mask


GROUPED_SHAPES = [(1, 2, 3, 64, 80), (1, 4, 2, 32, 80), (3, 2, 4, 48, 64), (2, 3, 1, 32, 96)]
"""Rows, key heads, queries of each, tokens, positions of a row."""


@pytest.mark.parametrize("shape", GROUPED_SHAPES)
def test_split_sums_of_several_key_heads_equal_whole_sums(
    shape: tuple[int, int, int, int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gqa_attention, "GROUPED_SPLIT_KV_TOKENS", 16)
    inputs = grouped_states(*shape, torch.float64)
    distances = []
    monkeypatch.setattr(gqa_attention, "_split_grouped_values", note_distance(distances))
    output, _ = gqa_attention.attend(None, *inputs, scaling=0.3)
    assert distances == [shape[4] // 16]
    torch.testing.assert_close(output, expected(*inputs), rtol=0, atol=1e-12)


def note_distance(distances: list[int]) -> Callable[..., torch.Tensor]:
    split = gqa_attention._split_grouped_values

    def noting(weights: torch.Tensor, values: torch.Tensor, distance: int) -> torch.Tensor:
        distances.append(distance)
        return split(weights, values, distance)

    return noting


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_split_sums_of_16_bits_are_as_exact_as_whole_sums(dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gqa_attention, "GROUPED_SPLIT_KV_TOKENS", 128)
    query, key, value, mask = grouped_states(1, 4, 7, 2048, 2176, dtype)
    output, _ = gqa_attention.attend(None, query, key, value, mask.clamp_min(-1e38).float(), scaling=0.3)
    exact = expected(*(x.double() for x in (query, key, value)), mask)
    bound = 2 * torch.finfo(dtype).eps
    assert float((output.double() - exact).abs().max()) < bound * float(exact.abs().max())


@pytest.mark.parametrize(("bucket_tokens", "distance"), [(512, None), (1024, 17), (2048, 17)])
def test_static_rows_of_several_key_heads_can_be_split(bucket_tokens: int, distance: int | None) -> None:
    """A short bucket of long rows is summed whole: its splits would read four times the values."""
    static_kv = StaticKv(1, 2048, (1, 4, 8), torch.device("cpu"), torch.bfloat16)
    ((_, values),) = static_kv.layer_views(1)
    assert gqa_attention._split_distance(values[:, :, :bucket_tokens].flatten(0, 1)) == distance


def test_split_sums_of_several_key_heads_take_one_kernel_more(monkeypatch: pytest.MonkeyPatch) -> None:
    query, key, value, mask = grouped_states(1, 4, 2, 64, 80, torch.bfloat16)
    counts = []
    for split in (0, 16):
        monkeypatch.setattr(gqa_attention, "GROUPED_SPLIT_KV_TOKENS", split)
        with CountKernels() as kernels:
            gqa_attention.attend(None, query, key, value, mask.float(), scaling=0.3)
        counts.append(kernels.count)
    assert counts[1] == counts[0] + 1


class CountKernels(TorchDispatchMode):
    """Counts the operations that are neither views nor allocations."""

    count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        is_kernel = not func.is_view and "empty" not in func._schema.name and "_unsafe_view" not in func._schema.name
        self.count += is_kernel
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize(("positions", "kv_heads", "tokens"), [(72, 4, 64), (256, 4, 64), (80, 17, 64), (80, 4, 16)])
def test_values_that_cannot_or_need_not_be_split_are_summed_whole(
    positions: int, kv_heads: int, tokens: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Heads at another distance, far too many positions, enough heads, tokens of one split."""
    monkeypatch.setattr(gqa_attention, "GROUPED_SPLIT_KV_TOKENS", 16)
    inputs = grouped_states(1, kv_heads, 1, tokens, positions, torch.float64)
    assert gqa_attention._split_distance(inputs[2].flatten(0, 1)) is None
    output, _ = gqa_attention.attend(None, *inputs, scaling=0.3)
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
