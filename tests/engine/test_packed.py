from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from starcoder_ls.engine import packed
from starcoder_ls.engine.decode import forward
from starcoder_ls.engine.kv import KvCache
from starcoder_ls.engine.loading import Loaded

pytestmark = pytest.mark.skipif(not packed.is_possible(), reason="this build of torch packs no half precision")

FAMILIES = ["starcoder", "starcoder2", "llama", "qwen2", "santacoder"]


def linear(entries: int, exits: int, seed: int, has_bias: bool = True) -> nn.Linear:
    """Weights that half precision holds exactly, as those of a float16 or bfloat16 checkpoint."""
    torch.manual_seed(seed)
    layer = nn.Linear(entries, exits, bias=has_bias)
    layer.weight.data = (torch.randn(exits, entries) * 0.3).half().float()
    return layer


@given(st.integers(1, 70), st.integers(1, 70), st.integers(1, 20), st.booleans(), st.integers(0, 99))
def test_a_packed_layer_answers_as_the_plain_one(
    entries: int, exits: int, rows: int, has_bias: bool, seed: int
) -> None:
    layer = linear(entries, exits, seed, has_bias)
    entry = torch.randn(rows, entries)
    with torch.inference_mode():
        answer = packed.PackedLinear(layer.weight, layer.bias)(entry)
        torch.testing.assert_close(answer, layer(entry), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("rows", [2, 7, 64, 200])
def test_a_row_is_the_same_among_others_as_alone(rows: int) -> None:
    """Bit by bit: chunks of any size, candidates and drafts are then exact."""
    layer = packed.PackedLinear(linear(96, 130, 1).weight, None)
    entry = torch.randn(rows, 96)
    with torch.inference_mode():
        together = layer(entry)
        for row in range(rows):
            assert torch.equal(layer(entry[row : row + 1])[0], together[row])


@pytest.mark.parametrize("family", FAMILIES)
def test_a_packed_model_answers_as_with_its_weights_in_half(
    family: str, request: pytest.FixtureRequest, doubled: Callable[..., Loaded]
) -> None:
    plain = doubled(request.getfixturevalue(family)).model.half().float()
    halves = doubled(request.getfixturevalue(family)).model.half()
    assert packed.pack(halves)
    ids = torch.randint(20, 600, (40,), generator=torch.Generator().manual_seed(2)).tolist()
    layers = plain.config.num_hidden_layers
    caches = KvCache(layers, 64), KvCache(layers, 64)
    for start, end in ((0, 30), (30, 31), (31, 40)):
        expected, answer = (forward(m, [ids[start:end]], c) for m, c in zip((plain, halves), caches, strict=True))
        torch.testing.assert_close(answer, expected, rtol=1e-3, atol=1e-3)


def test_what_half_precision_cannot_hold_is_left_alone() -> None:
    model = nn.Sequential(linear(4, 4, 1), linear(4, 4, 2))
    model[1].weight.data[0, 0] = 1e6
    before = list(model)
    assert not packed.pack(model)
    assert list(model) == before


def test_packed_bytes_are_two_a_weight() -> None:
    model = nn.Sequential(linear(100, 50, 1), nn.LayerNorm(50))
    assert packed.bytes_of(model) == 0
    packed.pack(model)
    assert packed.bytes_of(model) == 2 * 100 * 50 + 4 * 50
