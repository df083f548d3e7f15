"""``x @ w + bias`` over packed weights of several kinds, for any number of rows.

Decides how rows are cut into tiles and blocks of outputs are shared out among threads. Refuses to know where weights
come from.
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
"""Inputs that share a scale where weights have 8 bits: 0.5 bits more per weight."""


class WeightFormat(enum.IntEnum):
    """How a weight is kept."""

    FLOAT16 = 0
    BFLOAT16 = 1
    INT8 = 2


_1, _2, _3, _4, _6 = (matmul_tile(rows) for rows in (1, 2, 3, 4, 6))
_scaled_1, _scaled_2, _scaled_4 = (scaled_matmul_tile(rows) for rows in (1, 2, 4))


@jit
def matmul_block(kind, w, stride, bias, x, x_row, k, rows, o, o_row):
    """One block of outputs, weights of no scale."""
    while rows >= 6:
        _6(kind, w, stride, bias, x, x_row, k, o, o_row)
        x, o, rows = x + 6 * x_row, o + 6 * o_row, rows - 6
    if rows >= 4:
        _4(kind, w, stride, bias, x, x_row, k, o, o_row)
        x, o, rows = x + 4 * x_row, o + 4 * o_row, rows - 4
    if rows == 3:
        _3(kind, w, stride, bias, x, x_row, k, o, o_row)
    elif rows == 2:
        _2(kind, w, stride, bias, x, x_row, k, o, o_row)
    elif rows == 1:
        _1(kind, w, stride, bias, x, x_row, k, o, o_row)


@jit
def _scaled_matmul_block(kind, w, stride, bias, x, x_row, k, rows, o, o_row, scales):
    while rows >= 4:
        _scaled_4(kind, w, stride, bias, x, x_row, k, o, o_row, scales, GROUP_INPUTS)
        x, o, rows = x + 4 * x_row, o + 4 * o_row, rows - 4
    if rows >= 2:
        _scaled_2(kind, w, stride, bias, x, x_row, k, o, o_row, scales, GROUP_INPUTS)
        x, o, rows = x + 2 * x_row, o + 2 * o_row, rows - 2
    if rows == 1:
        _scaled_1(kind, w, stride, bias, x, x_row, k, o, o_row, scales, GROUP_INPUTS)


@jit
def _linear_block(kind, w, scales, bias, k, x, x_row, rows, o, o_row, block):
    """64 outputs of all rows."""
    bias += 4 * TILE_OUTPUTS * block
    o += 4 * TILE_OUTPUTS * block
    if kind == WeightFormat.FLOAT16.value:
        matmul_block(FLOAT16, w + 2 * TILE_OUTPUTS * k * block, 2 * TILE_OUTPUTS, bias, x, x_row, k, rows, o, o_row)
    elif kind == WeightFormat.BFLOAT16.value:
        matmul_block(BFLOAT16, w + 2 * TILE_OUTPUTS * k * block, 2 * TILE_OUTPUTS, bias, x, x_row, k, rows, o, o_row)
    else:
        groups = (k + GROUP_INPUTS - 1) // GROUP_INPUTS
        at = scales + 4 * TILE_OUTPUTS * groups * block
        _scaled_matmul_block(INT8, w + TILE_OUTPUTS * k * block, TILE_OUTPUTS, bias, x, x_row, k, rows, o, o_row, at)


@jit
def linear(
    kind: int, w: int, scales: int, bias: int, blocks: int, k: int, x: int, x_row: int, rows: int, o: int, o_row: int
) -> None:
    """``o[t] = bias + x[t] @ w`` for each of ``rows`` t. Addresses; rows lie ``x_row`` and ``o_row`` bytes apart.

    Packed ``w`` and ``bias`` have ``blocks`` * 64 outputs, and so has room each row of ``o``.
    """
    for block in range(blocks):
        _linear_block(kind, w, scales, bias, k, x, x_row, rows, o, o_row, block)


@parallel_jit
def parallel_linear(
    kind: int,
    w: int,
    scales: int,
    bias: int,
    blocks: int,
    k: int,
    x: int,
    x_row: int,
    rows: int,
    o: int,
    o_row: int,
    threads: int,
) -> None:
    """The same on several threads."""
    for thread in numba.prange(threads):
        for block in range(blocks * thread // threads, blocks * (thread + 1) // threads):
            _linear_block(kind, w, scales, bias, k, x, x_row, rows, o, o_row, block)
