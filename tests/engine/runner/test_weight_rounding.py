from __future__ import annotations

import pytest
import torch

from starcoder_ls.engine.runner import weight_rounding

INPUTS = 150


def random_weights(seed: int) -> torch.Tensor:
    """[blocks, inputs, 64]: three groups, of which the last is not full."""
    return torch.randn(2, INPUTS, 64, generator=torch.Generator().manual_seed(seed)).half()


def group_of_each(values: torch.Tensor) -> torch.Tensor:
    """[blocks, groups, 64] -> [blocks, inputs, 64]."""
    return values.repeat_interleave(64, 1)[:, :INPUTS]


def test_8_bits_are_the_nearest_of_255_levels() -> None:
    weights = random_weights(1)
    rounded, scales = weight_rounding.round_to_8_bits(weights)
    assert (rounded.dtype, rounded.shape, scales.shape) == (torch.int8, (2, 3, 32, 64, 2), (2, 3, 64))
    restored = weight_rounding.restore_8_bits(rounded, scales)
    assert ((restored[:, :INPUTS] - weights).abs() <= 0.5001 * group_of_each(scales)).all()
    assert (restored[:, INPUTS:] == 0).all()


def test_4_bits_are_the_nearest_of_16_levels() -> None:
    """Of those that the scale and the minimum of a group allow; the largest weights of a group lie beyond them."""
    weights = random_weights(2)
    packed, scales = weight_rounding.round_to_4_bits(weights)
    assert (packed.dtype, packed.shape) == (torch.uint8, (2, 3, 32, 64))
    assert (scales.dtype, scales.shape) == (torch.float16, (2, 3, 2, 64))
    restored = weight_rounding.restore_4_bits(packed, scales)[:, :INPUTS]
    factors, minima = (group_of_each(values.float()) for values in scales.unbind(2))
    nearest = ((weights.float() - minima) / factors).round().clamp(0, 15) * factors + minima
    assert torch.equal(restored, nearest)


def test_4_bits_err_less_than_levels_over_the_whole_range() -> None:
    weights = random_weights(3)
    restored = weight_rounding.restore_4_bits(*weight_rounding.round_to_4_bits(weights))[:, :128]
    groups = weights[:, :128].float().unflatten(1, (-1, 64))
    smallest, largest = torch.aminmax(groups, dim=2, keepdim=True)
    scales = (largest - smallest) / 15
    plain = ((groups - smallest) / scales).round() * scales + smallest
    assert (restored.unflatten(1, (-1, 64)) - groups).norm() < (plain - groups).norm()


@pytest.mark.parametrize("value", [0.0, 1e-4, -3.0, 60_000.0])
def test_4_bits_of_equal_weights_are_those_weights(value: float) -> None:
    weights = torch.full((1, 64, 64), value).half()
    restored = weight_rounding.restore_4_bits(*weight_rounding.round_to_4_bits(weights))
    torch.testing.assert_close(restored, weights.float(), rtol=1e-3, atol=1e-6)
