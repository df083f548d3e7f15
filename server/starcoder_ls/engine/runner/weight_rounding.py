"""Rounds packed weights of 16 bits to 8 or 4 bits, into the layouts of ``kernels.quantized``.

A scale, and with 4 bits a minimum, is shared by 64 inputs of an output. Embeddings are not rounded.
"""

from __future__ import annotations

import torch
from torch import nn

from starcoder_ls.engine.runner.kernels.quantized_tiles import GROUP_INPUTS

_VECTORS, _LANES = 4, 16
"""The 64 outputs of a block, as the kernels load them."""

RANGE_4_BITS = 0.9
"""Part of the range of a group's weights that 4 bits cover at first; then scale and minimum are fitted.

The bundled model loses 0.11 nats a token so, 0.16 with the whole range, 0.12 with the best of seven parts of it.
"""

_SMALLEST = torch.finfo(torch.float16).smallest_normal / 1024  # the smallest that float16 holds


def round_to_8_bits(weights: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Weights [blocks, inputs, 64] -> int8 [blocks, groups, 32, 64, 2] and scales, float32 [blocks, groups, 64]."""
    groups = _split_groups(weights)
    scales = groups.abs().amax(2, keepdim=True) / 127
    rounded = (groups / scales.clamp_min(torch.finfo(torch.float32).tiny)).round_().to(torch.int8)
    return _pair_inputs(rounded).contiguous(), scales[:, :, 0].contiguous()


def round_to_4_bits(weights: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Weights [blocks, inputs, 64] -> uint8 [blocks, groups, 32, 64], two weights each, and float16 [blocks, groups, 2,
    64], scales and minima: a weight is its 4 bits times the scale plus the minimum."""
    groups = _split_groups(weights)
    smallest, largest = torch.aminmax(groups, dim=2, keepdim=True)
    margin = (largest - smallest) * ((1 - RANGE_4_BITS) / 2)
    minima, scales = _store_exactly(smallest + margin, (largest - smallest) * (RANGE_4_BITS / 15))
    levels = _levels(groups, minima, scales)
    minima, scales = _store_exactly(*_fit(groups, levels, scales))
    levels = _levels(groups, minima, scales).to(torch.uint8)
    by_vector = _pair_inputs(levels).reshape(
        *levels.shape[:2], -1, _VECTORS, 2 * _LANES
    )  # [blocks, groups, 32, 4, 32 lanes]
    first, second, third, fourth = by_vector.unbind(3)
    packed = torch.stack((first | second << 4, third | fourth << 4), -1).flatten(3)
    return packed.contiguous(), torch.cat((scales, minima), 2).half().contiguous()


def restore_8_bits(rounded: torch.Tensor, scales: torch.Tensor) -> torch.Tensor:
    """What ``round_to_8_bits`` made of the weights: float32 [blocks, groups * 64, 64]."""
    return (_unpair_inputs(rounded).float() * scales[:, :, None]).flatten(1, 2)


def restore_4_bits(packed: torch.Tensor, scales: torch.Tensor) -> torch.Tensor:
    """What ``round_to_4_bits`` made of the weights: float32 [blocks, groups * 64, 64]."""
    low, high = packed.view(*packed.shape[:3], 2 * _LANES, 2).unbind(-1)
    by_vector = torch.stack((low & 15, low >> 4, high & 15, high >> 4), 3)  # [blocks, groups, 32, 4, 32 lanes]
    levels = _unpair_inputs(by_vector.view(*packed.shape, 2)).float()
    factors, minima = scales.float().unbind(2)
    return (levels * factors[:, :, None] + minima[:, :, None]).flatten(1, 2)


def _split_groups(weights: torch.Tensor) -> torch.Tensor:
    """[blocks, inputs, 64] -> float32 [blocks, groups, 64 inputs, 64]; the last group is padded with 0."""
    padded = nn.functional.pad(weights.float(), (0, 0, 0, -weights.shape[1] % GROUP_INPUTS))
    return padded.view(len(weights), -1, GROUP_INPUTS, weights.shape[2])


def _pair_inputs(groups: torch.Tensor) -> torch.Tensor:
    """[blocks, groups, 64 inputs, 64] -> [blocks, groups, 32, 64, 2 inputs]."""
    blocks, count, inputs, outputs = groups.shape
    return groups.view(blocks, count, inputs // 2, 2, outputs).transpose(3, 4)


def _unpair_inputs(pairs: torch.Tensor) -> torch.Tensor:
    return pairs.transpose(3, 4).flatten(2, 3)


def _store_exactly(minima: torch.Tensor, scales: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Both as float16 holds them."""
    return minima.half().float(), scales.clamp_min(_SMALLEST).half().float()


def _levels(groups: torch.Tensor, minima: torch.Tensor, scales: torch.Tensor) -> torch.Tensor:
    """The nearest of 16 levels for each weight."""
    return ((groups - minima) / scales).round_().clamp_(0, 15)


def _fit(groups: torch.Tensor, levels: torch.Tensor, scales: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Minima and scales with the least sum of squared errors for these levels."""
    level_mean, weight_mean = levels.mean(2, keepdim=True), groups.mean(2, keepdim=True)
    deviations = levels - level_mean
    variance = deviations.square().sum(2, keepdim=True)
    covariance = (deviations * groups).sum(2, keepdim=True)
    fitted = torch.where(variance > 0, covariance / variance.clamp_min(_SMALLEST), scales)
    return weight_mean - fitted * level_mean, fitted
