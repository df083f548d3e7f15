"""Attention of new tokens over one head of keys and values that all query heads share.

Decides how heads and keys are cut into tiles. Refuses to know where a cache ends: each token is told how far it looks.
"""

from __future__ import annotations

import numba
import numpy as np

from starcoder_ls.engine.runner.kernels.jit import jit
from starcoder_ls.engine.runner.kernels.linear import matmul_block
from starcoder_ls.engine.runner.kernels.tiles import FLOAT32, TILE_OUTPUTS, as_pointer, bits_to_float, dot_tile

_nothing = np.zeros(TILE_OUTPUTS, np.float32)
_4x4, _2x4, _1x4, _1x1 = dot_tile(4, 4), dot_tile(2, 4), dot_tile(1, 4), dot_tile(1, 1)


@jit
def exponential(x):
    """e to the power of a float32, within 2e-7 of itself; made of operations that become vectors."""
    x = min(max(x, np.float32(-87.0)), np.float32(88.0))
    n = np.floor(x * np.float32(1.44269504) + np.float32(0.5))
    r = x - n * np.float32(0.693359375)
    r = r + n * np.float32(2.12194440e-4)
    p = np.float32(1.9875691500e-4)
    p = p * r + np.float32(1.3981999507e-3)
    p = p * r + np.float32(8.3334519073e-3)
    p = p * r + np.float32(4.1665795894e-2)
    p = p * r + np.float32(1.6666665459e-1)
    p = p * r + np.float32(5.0000001201e-1)
    p = p * r * r + r + np.float32(1.0)
    return p * bits_to_float((np.int32(n) + np.int32(127)) << np.int32(23))


@jit
def _scores(q, keys, dim, heads, end, o, o_row):
    """[heads, end] products of queries with keys."""
    for j in range(0, end - end % 4, 4):
        key, out, h = keys + 4 * dim * j, o + 4 * j, 0
        while heads - h >= 4:
            _4x4(q + 4 * dim * h, key, dim, out + o_row * h, o_row)
            h += 4
        if heads - h >= 2:
            _2x4(q + 4 * dim * h, key, dim, out + o_row * h, o_row)
            h += 2
        if heads - h == 1:
            _1x4(q + 4 * dim * h, key, dim, out + o_row * h, o_row)
    for j in range(end - end % 4, end):
        for h in range(heads):
            _1x1(q + 4 * dim * h, keys + 4 * dim * j, dim, o + 4 * j + o_row * h, o_row)


@jit
def attend(q, keys, values, dim, heads, end, scale, scores, o):
    """One token's queries [heads, dim] over ``end`` keys and values [end, dim] -> o [heads, dim], all at addresses.

    ``scores`` is memory for [heads, end] of its own.
    """
    row = 4 * end
    _scores(q, keys, dim, heads, end, scores, row)
    found = numba.carray(as_pointer(scores), (heads, end), np.float32)
    for h in range(heads):
        line = found[h]
        most = line[0]
        for j in range(1, end):
            most = max(most, line[j])
        total = np.float32(0.0)
        for j in range(end):
            likely = exponential((line[j] - most) * scale)
            line[j] = likely
            total += likely
        share = np.float32(1.0) / total
        for j in range(end):
            line[j] *= share
    for block in range(0, dim, TILE_OUTPUTS):  # the values, each as much as its weight says
        matmul_block(
            FLOAT32, values + 4 * block, 4 * dim, _nothing.ctypes.data, scores, row, end, heads, o + 4 * block, 4 * dim
        )
