"""Linear layers over weights of 8 and 4 bits, whose inputs are quantized to 16 bits first.

The quantization of a row depends on the row alone, and the sums are exact, so that a token gets the same bits alone and
among others, and on processors with other instructions.
"""

from __future__ import annotations

import numba
import numpy as np

from starcoder_ls.engine.runner.kernels.jit import compiled_into_callers, jit
from starcoder_ls.engine.runner.kernels.quantized_tiles import (
    GROUP_BYTES,
    GROUP_INPUTS,
    quantize_group,
    quantized_tile,
)
from starcoder_ls.engine.runner.kernels.tiles import TILE_OUTPUTS, as_pointer


def _block_of_tiles(bits):
    """Return a function that computes one block of 64 outputs for all rows, in tiles of four, two and one.

    Arguments as for ``quantized_tile``, with ``rows`` after ``groups``.
    """
    tile_1, tile_2, tile_4 = (quantized_tile(rows, bits) for rows in (1, 2, 4))

    @compiled_into_callers
    def compute(weights, scales, bias, x, x_stride, groups, rows, out, out_stride):
        while rows >= 4:
            tile_4(weights, scales, bias, x, x_stride, groups, out, out_stride)
            x, out, rows = x + 4 * x_stride, out + 4 * out_stride, rows - 4
        if rows >= 2:
            tile_2(weights, scales, bias, x, x_stride, groups, out, out_stride)
            x, out, rows = x + 2 * x_stride, out + 2 * out_stride, rows - 2
        if rows == 1:
            tile_1(weights, scales, bias, x, x_stride, groups, out, out_stride)

    return compute


_compute_8_bits, _compute_4_bits = _block_of_tiles(8), _block_of_tiles(4)


@jit
def group_count(inputs: int) -> int:
    """Groups of 64 that hold so many inputs."""
    return (inputs + GROUP_INPUTS - 1) // GROUP_INPUTS


@jit
def int8_block(weights, scales, bias, inputs, x, x_stride, rows, out, out_stride, block):
    """Compute outputs 64 * ``block`` to 64 * ``block`` + 63 of all quantized rows ``x``, from weights of 8 bits.

    ``weights`` int8 [blocks, groups, 32, 64, 2], ``scales`` float32 [blocks, groups, 64].
    """
    groups = group_count(inputs)
    weights += TILE_OUTPUTS * GROUP_INPUTS * groups * block
    scales += 4 * TILE_OUTPUTS * groups * block
    bias, out = bias + 4 * TILE_OUTPUTS * block, out + 4 * TILE_OUTPUTS * block
    _compute_8_bits(weights, scales, bias, x, x_stride, groups, rows, out, out_stride)


@jit
def int4_block(weights, scales, bias, inputs, x, x_stride, rows, out, out_stride, block):
    """As ``int8_block``, from weights of 4 bits: ``weights`` uint16 [blocks, groups, 32, 32], four weights each,
    ``scales`` float16 [blocks, groups, 2, 64], scales and minima."""
    groups = group_count(inputs)
    weights += TILE_OUTPUTS * GROUP_INPUTS // 2 * groups * block
    scales += 4 * TILE_OUTPUTS * groups * block
    bias, out = bias + 4 * TILE_OUTPUTS * block, out + 4 * TILE_OUTPUTS * block
    _compute_4_bits(weights, scales, bias, x, x_stride, groups, rows, out, out_stride)


@jit
def quantized_row_bytes(inputs: int) -> int:
    """Bytes of a row of ``quantize_rows``."""
    return GROUP_BYTES * group_count(inputs)


@jit
def quantized_bytes(inputs: int, rows: int) -> int:
    """Bytes that ``quantize_rows`` writes: the rows, and a group of float32 that it pads."""
    return quantized_row_bytes(inputs) * rows + 4 * GROUP_INPUTS


@jit
def quantize_rows(x: int, x_stride: int, inputs: int, rows: int, out: int) -> None:
    """Quantize ``rows`` rows of float32 -> ``out`` [rows, groups] as in ``quantize_group``. Addresses.

    ``out`` has room for ``quantized_bytes``. A last group of fewer than 64 inputs is quantized as if zeros followed.
    """
    whole, row_bytes = inputs // GROUP_INPUTS, quantized_row_bytes(inputs)
    rest = inputs - whole * GROUP_INPUTS
    padded = numba.carray(as_pointer(out + row_bytes * rows), GROUP_INPUTS, np.float32)
    for row in range(rows):
        row_x, row_out = x + x_stride * row, out + row_bytes * row
        for group in range(whole):
            quantize_group(row_x + 4 * GROUP_INPUTS * group, row_out + GROUP_BYTES * group)
        if rest > 0:
            tail = numba.carray(as_pointer(row_x + 4 * GROUP_INPUTS * whole), rest, np.float32)
            for j in range(GROUP_INPUTS):
                padded[j] = tail[j] if j < rest else np.float32(0.0)
            quantize_group(out + row_bytes * rows, row_out + GROUP_BYTES * whole)
