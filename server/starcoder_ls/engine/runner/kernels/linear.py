"""Linear layers, ``x @ weights + bias``, over packed weights, for any number of rows.

Decides how rows are split into tiles, and how blocks of outputs are distributed over threads. ``quantized`` has the
products with weights of 8 and 4 bits.
"""

from __future__ import annotations

import numba
from numba import types

from starcoder_ls.engine.runner.kernels.calls import call
from starcoder_ls.engine.runner.kernels.jit import compiled_into_callers, jit, parallel_jit
from starcoder_ls.engine.runner.kernels.tiles import BFLOAT16, FLOAT16, TILE_OUTPUTS, matmul_tile

BLOCK_SIGNATURE = types.void(*[types.int64] * 10)
"""Of a function that computes one block of outputs for all rows: weights, scales, bias, inputs, x, x_stride, rows, out,
out_stride, block."""

_1, _2, _3, _4, _6 = (matmul_tile(rows) for rows in (1, 2, 3, 4, 6))


@compiled_into_callers
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
def _of_block(address, block):
    """The address of the outputs of a block in a row of float32."""
    return address + 4 * TILE_OUTPUTS * block


@jit
def float16_block(weights, _scales, bias, inputs, x, x_stride, rows, out, out_stride, block):
    """Compute outputs 64 * ``block`` to 64 * ``block`` + 63 of all rows, from float16 weights."""
    weights, bias, out = weights + 2 * TILE_OUTPUTS * inputs * block, _of_block(bias, block), _of_block(out, block)
    matmul_block(FLOAT16, weights, 2 * TILE_OUTPUTS, bias, x, x_stride, inputs, rows, out, out_stride)


@jit
def bfloat16_block(weights, _scales, bias, inputs, x, x_stride, rows, out, out_stride, block):
    """As ``float16_block``, from bfloat16 weights."""
    weights, bias, out = weights + 2 * TILE_OUTPUTS * inputs * block, _of_block(bias, block), _of_block(out, block)
    matmul_block(BFLOAT16, weights, 2 * TILE_OUTPUTS, bias, x, x_stride, inputs, rows, out, out_stride)


@jit
def linear(
    block_function: int,
    weights: int,
    scales: int,
    bias: int,
    first_block: int,
    end_block: int,
    inputs: int,
    x: int,
    x_stride: int,
    rows: int,
    out: int,
    out_stride: int,
) -> None:
    """Compute ``out[row] = bias + x[row] @ weights`` for each of ``rows``: blocks from the first to before the end.

    ``block_function`` is the address of a function as ``float16_block``. ``weights``, ``scales``, ``bias``, ``x`` and
    ``out`` are addresses; rows of ``x`` and ``out`` are ``x_stride`` and ``out_stride`` bytes apart. ``weights`` and
    ``scales`` are as the function expects, ``bias`` [blocks of the matrix * 64] float32, ``x`` [rows, inputs] float32,
    or quantized for weights with scales, ``out`` [rows, blocks of the matrix * 64] float32.
    """
    for block in range(first_block, end_block):
        call(block_function, (weights, scales, bias, inputs, x, x_stride, rows, out, out_stride, block))


@parallel_jit
def parallel_linear(
    block_function: int,
    weights: int,
    scales: int,
    bias: int,
    first_block: int,
    end_block: int,
    inputs: int,
    x: int,
    x_stride: int,
    rows: int,
    out: int,
    out_stride: int,
    threads: int,
) -> None:
    """As ``linear``, with the blocks distributed over ``threads`` threads in contiguous shares."""
    blocks = end_block - first_block
    for thread in numba.prange(threads):
        for share in range(blocks * thread // threads, blocks * (thread + 1) // threads):
            block = first_block + share
            call(block_function, (weights, scales, bias, inputs, x, x_stride, rows, out, out_stride, block))
