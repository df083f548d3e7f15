"""What happens to one token between the matrix products: embeddings, norms, rotation, activations, residual sums.

All tensors are addresses of float32 unless said. Decides the formulas; ``forward`` decides their order.
"""

from __future__ import annotations

import numba
import numpy as np

from starcoder_ls.engine.runner.kernels.jit import jit, parallel_jit
from starcoder_ls.engine.runner.kernels.reductions import vector_square_sum, vector_sum
from starcoder_ls.engine.runner.kernels.tiles import (
    BFLOAT16,
    FLOAT16,
    FLOAT32,
    as_pointer,
    bits_to_float,
    load_as_float32,
)

LAYER_NORM, RMS_NORM = 0, 1
"""Kinds of norms."""

GELU, SILU_GATE, EXACT_GELU = 0, 1, 2
"""Kinds of activations: GELU in its tanh approximation, SiLU of one half of a row times its other half, exact GELU."""


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
def embed(table, type_bits, width, row, out, is_added):
    """Convert a row of an embedding table to float32; add it to ``out`` or overwrite it.

    ``table`` is of float16 (``type_bits`` 16), bfloat16 (-16) or float32 (32).
    """
    values = numba.carray(as_pointer(out), width, np.float32)
    for j in range(width):
        if type_bits == 16:
            value = load_as_float32(FLOAT16, table + 2 * (row * width + j))
        elif type_bits == -16:
            value = load_as_float32(BFLOAT16, table + 2 * (row * width + j))
        else:
            value = load_as_float32(FLOAT32, table + 4 * (row * width + j))
        values[j] = values[j] + value if is_added != 0 else value


@jit
def _layer_norm(x, weight, bias, width, eps, out):
    """Apply layer norm to one token."""
    inputs = numba.carray(as_pointer(x), width, np.float32)
    outputs = numba.carray(as_pointer(out), width, np.float32)
    scale = numba.carray(as_pointer(weight), width, np.float32)
    shift = numba.carray(as_pointer(bias), width, np.float32)
    mean = vector_sum(x, width) / np.float32(width)
    for j in range(width):
        outputs[j] = inputs[j] - mean
    factor = np.float32(1.0) / np.sqrt(vector_square_sum(out, width) / np.float32(width) + eps)
    for j in range(width):
        outputs[j] = outputs[j] * factor * scale[j] + shift[j]


@jit
def _rms_norm(x, weight, width, eps, out):
    """Apply RMS norm (Zhang and Sennrich 2019) to one token."""
    inputs = numba.carray(as_pointer(x), width, np.float32)
    outputs = numba.carray(as_pointer(out), width, np.float32)
    scale = numba.carray(as_pointer(weight), width, np.float32)
    factor = np.float32(1.0) / np.sqrt(vector_square_sum(x, width) / np.float32(width) + eps)
    for j in range(width):
        outputs[j] = inputs[j] * factor * scale[j]


@jit
def norm(kind, x, x_stride, weight, bias, width, eps, tokens, out, out_stride):
    """Normalize ``x`` -> ``out``, both [tokens, width]; ``width`` is a multiple of 16. ``x`` and ``out`` may not
    overlap. ``bias`` is not used by ``RMS_NORM``."""
    for t in range(tokens):
        if kind == RMS_NORM:
            _rms_norm(x + x_stride * t, weight, width, eps, out + out_stride * t)
        else:
            _layer_norm(x + x_stride * t, weight, bias, width, eps, out + out_stride * t)


@jit
def rotate(x, heads, head_dim, rotary):
    """Rotate the pairs (j, j + head_dim / 2) of each head of one token (Su et al. 2021; pairs as in GPT-NeoX).

    ``x`` [heads, head_dim] is changed in place; ``rotary`` [head_dim] has the cosines of the position's angles, then
    their sines.
    """
    half = head_dim // 2
    cosines = numba.carray(as_pointer(rotary), half, np.float32)
    sines = numba.carray(as_pointer(rotary + 4 * half), half, np.float32)
    for head in range(heads):
        low = numba.carray(as_pointer(x + 4 * head_dim * head), half, np.float32)
        high = numba.carray(as_pointer(x + 4 * (head_dim * head + half)), half, np.float32)
        for j in range(half):
            left, right = low[j], high[j]
            low[j] = left * cosines[j] - right * sines[j]
            high[j] = right * cosines[j] + left * sines[j]


@jit
def _gelu(x, size):
    """Apply GELU in place, in the tanh approximation of Hendrycks and Gimpel (2016)."""
    values = numba.carray(as_pointer(x), size, np.float32)
    for j in range(size):
        value = values[j]
        inner = np.float32(1.5957691216) * (value + np.float32(0.044715) * value * value * value)
        values[j] = value / (np.float32(1.0) + exponential(-inner))


@jit
def error_function(x):
    """Return erf of a float32, with an absolute error below 4e-7, from operations that can be vectorized.

    The quotient of polynomials of Eigen's ``erf`` for float; beyond 4 it is 1 or -1 in float32.
    """
    x = min(max(x, np.float32(-4.0)), np.float32(4.0))
    square = x * x
    p = np.float32(-2.72614225801306e-10)
    p = p * square + np.float32(2.77068142495902e-08)
    p = p * square + np.float32(-2.10102402082508e-06)
    p = p * square + np.float32(-5.69250639462346e-05)
    p = p * square + np.float32(-7.34990630326855e-04)
    p = p * square + np.float32(-2.95459980854025e-03)
    p = p * square + np.float32(-1.60960333262415e-02)
    q = np.float32(-1.45660718464996e-05)
    q = q * square + np.float32(-2.13374055278905e-04)
    q = q * square + np.float32(-1.68282697438203e-03)
    q = q * square + np.float32(-7.37332916720468e-03)
    q = q * square + np.float32(-1.42647390514189e-02)
    return x * p / q


@jit
def _exact_gelu(x, size):
    """Apply GELU in place, by the distribution function of the normal distribution."""
    values = numba.carray(as_pointer(x), size, np.float32)
    for j in range(size):
        value = values[j]
        values[j] = np.float32(0.5) * value * (np.float32(1.0) + error_function(value * np.float32(0.70710678)))


@jit
def _silu_gate(x, size, up):
    """Multiply SiLU of ``x`` by ``up``, both [size], in place of ``x`` (SwiGLU, Shazeer 2020)."""
    gates = numba.carray(as_pointer(x), size, np.float32)
    factors = numba.carray(as_pointer(up), size, np.float32)
    for j in range(size):
        value = gates[j]
        gates[j] = value / (np.float32(1.0) + exponential(-value)) * factors[j]


@jit
def _activate_token(kind, x, size, up):
    if kind == SILU_GATE:
        _silu_gate(x, size, up)
    elif kind == EXACT_GELU:
        _exact_gelu(x, size)
    else:
        _gelu(x, size)


@parallel_jit
def _activate_parallel(kind, x, stride, size, up_offset, tokens, threads):
    for thread in numba.prange(threads):
        for t in range(thread, tokens, threads):
            _activate_token(kind, x + stride * t, size, x + stride * t + up_offset)


@jit
def activate(kind, x, stride, size, up_offset, tokens, threads):
    """Apply the activation ``kind`` to the first ``size`` numbers of each row of ``x``, in place.

    ``up_offset``: bytes from the gates of a row to the numbers by which ``SILU_GATE`` multiplies.
    """
    if threads > 1 and tokens > 1:
        _activate_parallel(kind, x, stride, size, up_offset, tokens, threads)
        return
    for t in range(tokens):
        _activate_token(kind, x + stride * t, size, x + stride * t + up_offset)


@jit
def add(x, width, addend, addend_stride, tokens):
    """Add ``addend`` to the residual stream ``x``, both [tokens, width]."""
    for t in range(tokens):
        total = numba.carray(as_pointer(x + 4 * width * t), width, np.float32)
        values = numba.carray(as_pointer(addend + addend_stride * t), width, np.float32)
        for j in range(width):
            total[j] += values[j]
