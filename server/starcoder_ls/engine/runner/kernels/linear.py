"""Linear layers, ``x @ weights + bias``, over packed weights in 16 or 8 bits, for any number of rows.

Decides how rows are split into tiles, and how blocks of outputs are distributed over threads.
"""

from __future__ import annotations

import enum

import numba

from starcoder_ls.engine.runner.kernels.jit import jit, parallel_jit
from starcoder_ls.engine.runner.kernels.tiles import (
    BFLOAT16,
    FLOAT16,
    INT8,
    TILE_OUTPUTS,
    matmul_tile,
    scaled_matmul_tile,
)

GROUP_INPUTS = 64
"""Inputs that share a scale in 8-bit weights: one float32 for 64 weights is 0.5 bits per weight."""


class WeightFormat(enum.IntEnum):
    """Type of the packed weights of a matrix."""

    FLOAT16 = 0
    BFLOAT16 = 1
    INT8 = 2


_1, _2, _3, _4, _6 = (matmul_tile(rows) for rows in (1, 2, 3, 4, 6))
_scaled_1, _scaled_2, _scaled_4 = (scaled_matmul_tile(rows) for rows in (1, 2, 4))


@jit
def matmul_block(type_tag, weights, stride, bias, x, x_stride, inputs, rows, out, out_stride):
    """Compute one block of 64 outputs for all rows, from weights without scales. Arguments as for ``matmul_tile``."""
    while rows >= 6:
        _6(type_tag, weights, stride, bias, x, x_stride, inputs, out, out_stride)
        x, out, rows = x + 6 * x_stride, out + 6 * out_stride, rows - 6
    if rows >= 4:
        _4(type_tag, weights, stride, bias, x, x_stride, inputs, out, out_stride)
        x, out, rows = x + 4 * x_stride, out + 4 * out_stride, rows - 4
    if rows == 3:
        _3(type_tag, weights, stride, bias, x, x_stride, inputs, out, out_stride)
    elif rows == 2:
        _2(type_tag, weights, stride, bias, x, x_stride, inputs, out, out_stride)
    elif rows == 1:
        _1(type_tag, weights, stride, bias, x, x_stride, inputs, out, out_stride)


@jit
def _scaled_matmul_block(type_tag, weights, stride, bias, x, x_stride, inputs, rows, out, out_stride, scales):
    """As ``matmul_block``, with a scale per output and group of inputs."""
    while rows >= 4:
        _scaled_4(type_tag, weights, stride, bias, x, x_stride, inputs, out, out_stride, scales, GROUP_INPUTS)
        x, out, rows = x + 4 * x_stride, out + 4 * out_stride, rows - 4
    if rows >= 2:
        _scaled_2(type_tag, weights, stride, bias, x, x_stride, inputs, out, out_stride, scales, GROUP_INPUTS)
        x, out, rows = x + 2 * x_stride, out + 2 * out_stride, rows - 2
    if rows == 1:
        _scaled_1(type_tag, weights, stride, bias, x, x_stride, inputs, out, out_stride, scales, GROUP_INPUTS)


@jit
def _linear_block(weight_format, weights, scales, bias, inputs, x, x_stride, rows, out, out_stride, block):
    """Compute outputs 64 * ``block`` to 64 * ``block`` + 63 of all rows."""
    bias += 4 * TILE_OUTPUTS * block
    out += 4 * TILE_OUTPUTS * block
    if weight_format == WeightFormat.FLOAT16.value:
        block_weights, stride = weights + 2 * TILE_OUTPUTS * inputs * block, 2 * TILE_OUTPUTS
        matmul_block(FLOAT16, block_weights, stride, bias, x, x_stride, inputs, rows, out, out_stride)
    elif weight_format == WeightFormat.BFLOAT16.value:
        block_weights, stride = weights + 2 * TILE_OUTPUTS * inputs * block, 2 * TILE_OUTPUTS
        matmul_block(BFLOAT16, block_weights, stride, bias, x, x_stride, inputs, rows, out, out_stride)
    else:
        groups = (inputs + GROUP_INPUTS - 1) // GROUP_INPUTS
        block_scales = scales + 4 * TILE_OUTPUTS * groups * block
        block_weights, stride = weights + TILE_OUTPUTS * inputs * block, TILE_OUTPUTS
        _scaled_matmul_block(
            INT8, block_weights, stride, bias, x, x_stride, inputs, rows, out, out_stride, block_scales
        )


@jit
def linear(
    weight_format: int,
    weights: int,
    scales: int,
    bias: int,
    blocks: int,
    inputs: int,
    x: int,
    x_stride: int,
    rows: int,
    out: int,
    out_stride: int,
) -> None:
    """Compute ``out[row] = bias + x[row] @ weights`` for each of ``rows``.

    ``weights``, ``scales``, ``bias``, ``x`` and ``out`` are addresses; rows of ``x`` and ``out`` are ``x_stride`` and
    ``out_stride`` bytes apart. ``weights`` [blocks, inputs, 64] in ``weight_format``, ``scales`` [blocks, groups, 64]
    float32 (for int8 only), ``bias`` [blocks * 64] float32, ``x`` [rows, inputs] float32, ``out`` [rows, blocks * 64]
    float32.
    """
    for block in range(blocks):
        _linear_block(weight_format, weights, scales, bias, inputs, x, x_stride, rows, out, out_stride, block)


@parallel_jit
def parallel_linear(
    weight_format: int,
    weights: int,
    scales: int,
    bias: int,
    blocks: int,
    inputs: int,
    x: int,
    x_stride: int,
    rows: int,
    out: int,
    out_stride: int,
    threads: int,
) -> None:
    """As ``linear``, with the blocks distributed over ``threads`` threads in contiguous shares."""
    for thread in numba.prange(threads):
        for block in range(blocks * thread // threads, blocks * (thread + 1) // threads):
            _linear_block(weight_format, weights, scales, bias, inputs, x, x_stride, rows, out, out_stride, block)
