"""Attention of new tokens over one head of keys and values that all query heads share (multi-query attention).

Decides how query heads and keys are split into tiles. The caller says how many positions each token attends to.
"""

from __future__ import annotations

import numba
import numpy as np

from starcoder_ls.engine.runner.kernels.jit import jit
from starcoder_ls.engine.runner.kernels.linear import matmul_block
from starcoder_ls.engine.runner.kernels.tiles import FLOAT32, TILE_OUTPUTS, as_pointer, bits_to_float, dot_tile

_zero_bias = np.zeros(TILE_OUTPUTS, np.float32)
_dot_4x4, _dot_2x4, _dot_1x4, _dot_1x1 = dot_tile(4, 4), dot_tile(2, 4), dot_tile(1, 4), dot_tile(1, 1)


@jit
def exponential(x):
    """Return e to the power of a float32, with a relative error below 2e-7, from operations that can be vectorized.

    The argument is clamped to -87..88. Range reduction by ln 2 in two parts, then the polynomial of Cephes' ``expf``.
    """
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
def _compute_scores(query, keys, head_dim, heads, end, scores, scores_stride):
    """Compute the products [heads, end] of ``query`` [heads, head_dim] with ``keys`` [end, head_dim]. Addresses."""
    for position in range(0, end - end % 4, 4):
        key, out, head = keys + 4 * head_dim * position, scores + 4 * position, 0
        while heads - head >= 4:
            _dot_4x4(query + 4 * head_dim * head, key, head_dim, out + scores_stride * head, scores_stride)
            head += 4
        if heads - head >= 2:
            _dot_2x4(query + 4 * head_dim * head, key, head_dim, out + scores_stride * head, scores_stride)
            head += 2
        if heads - head == 1:
            _dot_1x4(query + 4 * head_dim * head, key, head_dim, out + scores_stride * head, scores_stride)
    for position in range(end - end % 4, end):
        key, out = keys + 4 * head_dim * position, scores + 4 * position
        for head in range(heads):
            _dot_1x1(query + 4 * head_dim * head, key, head_dim, out + scores_stride * head, scores_stride)


@jit
def attend(query, keys, values, head_dim, heads, end, scale, scores, out):
    """Attend with one token's ``query`` [heads, head_dim] to the first ``end`` positions -> ``out`` [heads, head_dim].

    All tensors are addresses of float32. ``keys`` and ``values`` are [capacity, head_dim]; ``scores`` is scratch memory
    for [heads, end].
    """
    scores_stride = 4 * end
    _compute_scores(query, keys, head_dim, heads, end, scores, scores_stride)
    all_weights = numba.carray(as_pointer(scores), (heads, end), np.float32)
    for head in range(heads):  # softmax in place
        weights = all_weights[head]
        largest = weights[0]
        for position in range(1, end):
            largest = max(largest, weights[position])
        total = np.float32(0.0)
        for position in range(end):
            weight = exponential((weights[position] - largest) * scale)
            weights[position] = weight
            total += weight
        factor = np.float32(1.0) / total
        for position in range(end):
            weights[position] *= factor
    bias, row = _zero_bias.ctypes.data, 4 * head_dim
    for block in range(0, head_dim, TILE_OUTPUTS):  # weights @ values, 64 columns at a time
        columns = 4 * block
        matmul_block(FLOAT32, values + columns, row, bias, scores, scores_stride, end, heads, out + columns, row)
