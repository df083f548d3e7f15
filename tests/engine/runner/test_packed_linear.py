from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from starcoder_ls.engine.generation.loaded_model import LoadedModel
from starcoder_ls.engine.kv_cache.cache import KvCache
from starcoder_ls.engine.runner import packed_linear, threads
from starcoder_ls.engine.runner.packed_linear import WeightFormat

pytestmark = pytest.mark.skipif(not packed_linear.is_possible(), reason="no kernels of our own on this processor")

FAMILIES = ["starcoder", "starcoder2", "llama", "qwen2", "santacoder"]


def linear(entries: int, exits: int, seed: int, has_bias: bool = True) -> nn.Linear:
    """Weights that float16 represents exactly, like those of a float16 or bfloat16 checkpoint."""
    torch.manual_seed(seed)
    layer = nn.Linear(entries, exits, bias=has_bias)
    layer.weight.data = (torch.randn(exits, entries) * 0.3).half().float()
    return layer


@settings(deadline=None)
@given(
    entries=st.integers(1, 200),
    exits=st.integers(1, 200),
    rows=st.integers(1, 20),
    has_bias=st.booleans(),
    dtype=st.sampled_from([torch.float16, torch.bfloat16, torch.float32]),
    seed=st.integers(0, 99),
)
def test_packed_layer_computes_the_products_of_the_plain_layer(
    entries: int, exits: int, rows: int, has_bias: bool, dtype: torch.dtype, seed: int
) -> None:
    layer = linear(entries, exits, seed, has_bias)
    layer.weight.data = layer.weight.to(dtype).float()  # what each of them holds exactly
    entry = torch.randn(rows, entries)
    with torch.inference_mode():
        answer = packed_linear.PackedLinear(layer.weight.to(dtype), layer.bias)(entry)
        torch.testing.assert_close(answer, layer(entry), rtol=1e-4, atol=2e-4)


@settings(deadline=None)
@given(
    entries=st.integers(1, 200),
    exits=st.integers(1, 200),
    rows=st.integers(1, 20),
    weight_format=st.sampled_from([WeightFormat.INT8, WeightFormat.INT4]),
    seed=st.integers(0, 99),
)
def test_rounded_layer_computes_products_of_its_rounded_weights(
    entries: int, exits: int, rows: int, weight_format: WeightFormat, seed: int
) -> None:
    layer = linear(entries, exits, seed)
    small = packed_linear.PackedLinear(layer.weight, layer.bias)
    small.round_to(weight_format)
    entry = torch.randn(rows, entries)
    with torch.inference_mode():
        expected = nn.functional.linear(entry.double(), small.dequantized().double(), layer.bias.double())
        # An input is rounded to 1 / 65,534 of the largest in its group.
        tolerance = 2e-5 * float(entry.abs().max()) * small.dequantized().double().norm(dim=1).max() + 1e-5
        assert (small(entry) - expected).abs().max() <= 4 * tolerance


def mutant_next_groups_scales(layer: packed_linear.PackedLinear) -> None:
    layer.scales = layer.scales.roll(1, 1).contiguous()


def mutant_swapped_inputs(layer: packed_linear.PackedLinear) -> None:
    """Of each pair; with 4 bits, the lanes of two outputs' pairs."""
    layer.packed = layer.packed.unflatten(3, (-1, 2)).flip(4).flatten(3, 4).contiguous()


def mutant_without_minima(layer: packed_linear.PackedLinear) -> None:
    layer.scales[:, :, -1] = 0


@pytest.mark.parametrize(
    ("weight_format", "mutant"),
    [
        (WeightFormat.INT8, mutant_next_groups_scales),
        (WeightFormat.INT8, mutant_swapped_inputs),
        (WeightFormat.INT4, mutant_next_groups_scales),
        (WeightFormat.INT4, mutant_swapped_inputs),
        (WeightFormat.INT4, mutant_without_minima),
    ],
)
def test_mutant_of_a_rounded_layer_changes_its_products(
    weight_format: WeightFormat, mutant: Callable[[packed_linear.PackedLinear], None]
) -> None:
    layer = packed_linear.PackedLinear(linear(150, 70, 3).weight, None)
    layer.round_to(weight_format)
    entry, weights = torch.randn(3, 150), layer.dequantized()
    with torch.inference_mode():
        assert (layer(entry) - entry @ weights.T).norm() < 1e-3 * (entry @ weights.T).norm()
        mutant(layer)
        assert (layer(entry) - entry @ weights.T).norm() > 1e-2 * (entry @ weights.T).norm()


@pytest.mark.parametrize("weight_format", [*WeightFormat])
@pytest.mark.parametrize("rows", [2, 7, 64, 200])
def test_row_is_bit_equal_among_others_and_alone(rows: int, weight_format: WeightFormat) -> None:
    """So chunks, candidates and drafts are exact. Also with another number of threads."""
    weight = linear(1500, 1400, 1).weight
    layer = packed_linear.PackedLinear(weight.bfloat16() if weight_format is WeightFormat.BFLOAT16 else weight, None)
    if weight_format in (WeightFormat.INT8, WeightFormat.INT4):
        layer.round_to(weight_format)
    entry = torch.randn(rows, 1500)
    with torch.inference_mode():
        together = layer(entry)
        with threads.use_threads(1):
            for row in range(rows):
                assert torch.equal(layer(entry[row : row + 1])[0], together[row])


@pytest.mark.parametrize("weight_format", [WeightFormat.INT8, WeightFormat.INT4])
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_input_that_is_not_finite_is_visible_in_all_outputs(weight_format: WeightFormat, bad: float) -> None:
    layer = packed_linear.PackedLinear(linear(100, 70, 1).weight, None)
    layer.round_to(weight_format)
    entry = torch.randn(2, 100)
    entry[1, 90] = bad
    with torch.inference_mode():
        result = layer(entry)
    assert torch.isfinite(result[0]).all()
    assert torch.isnan(result[1]).all()


@pytest.mark.parametrize("family", FAMILIES)
def test_packed_model_has_the_logits_of_its_float16_weights(
    family: str, request: pytest.FixtureRequest, doubled: Callable[..., LoadedModel]
) -> None:
    plain = doubled(request.getfixturevalue(family)).runner.model.half().float()
    halves = doubled(request.getfixturevalue(family)).runner.model.half()
    assert packed_linear.pack(halves)
    ids = torch.randint(20, 600, (1, 40), generator=torch.Generator().manual_seed(2))
    layers = plain.config.num_hidden_layers
    caches = KvCache(layers, 64), KvCache(layers, 64)
    with torch.inference_mode():
        for start, end in ((0, 30), (30, 31), (31, 40)):
            expected, answer = (
                model(input_ids=ids[:, start:end], past_key_values=cache, use_cache=True).logits[:, -1]
                for model, cache in zip((plain, halves), caches, strict=True)
            )
            torch.testing.assert_close(answer, expected, rtol=1e-3, atol=1e-3)


def test_model_with_weights_beyond_float16_is_not_packed() -> None:
    model = nn.Sequential(linear(4, 4, 1), linear(4, 4, 2))
    model[1].weight.data[0, 0] = 1e6
    before = list(model)
    assert not packed_linear.pack(model)
    assert list(model) == before


@pytest.mark.parametrize(
    ("weight_format", "row_bytes"),
    [(WeightFormat.FLOAT16, 2 * 128), (WeightFormat.INT8, 128 + 4 * 2), (WeightFormat.INT4, 64 + 4 * 2)],
)
def test_packed_bytes_are_those_of_the_format(weight_format: WeightFormat, row_bytes: int) -> None:
    """Outputs to the next multiple of 64, a float32 of bias each; four bytes of scales for each 64 rounded inputs."""
    model = nn.Sequential(linear(128, 120, 1), nn.LayerNorm(120))
    assert packed_linear.bytes_of(model) == 0
    packed_linear.pack(model)
    for layer in packed_linear.layers_of(model):
        if weight_format is not WeightFormat.FLOAT16:
            layer.round_to(weight_format)
    assert packed_linear.bytes_of(model) == 128 * (row_bytes + 4)


@pytest.mark.parametrize("weight_format", [WeightFormat.FLOAT16, WeightFormat.INT8, WeightFormat.INT4])
def test_joined_layers_compute_as_before_and_share_memory(weight_format: WeightFormat) -> None:
    layers = [packed_linear.PackedLinear(linear(70, exits, exits).weight, None) for exits in (64, 128, 50)]
    if weight_format is not WeightFormat.FLOAT16:
        for layer in layers:
            layer.round_to(weight_format)
    entry = torch.randn(3, 70)
    with torch.inference_mode():
        before = [layer(entry) for layer in layers]
        joined = packed_linear.join(layers)
        assert packed_linear.join(layers) == joined == layers[0].kernel_args
        assert all(map(torch.equal, before, [layer(entry) for layer in layers]))
    assert layers[2].packed.data_ptr() == layers[0].packed.data_ptr() + 3 * layers[0].packed.nbytes
    assert sum(layer.packed.nbytes for layer in layers) == layers[0].packed.untyped_storage().nbytes()
