"""The whole forward pass of GPTBigCode over new tokens of several caches, in one compiled function.

Decides what is computed in which order and what several threads share. Refuses to know tensors and modules: all it
gets are addresses and sizes.
"""

from __future__ import annotations

import numba
import numpy as np

from starcoder_ls.engine.runner.kernels.attention import attend, exponential
from starcoder_ls.engine.runner.kernels.jit import jit, parallel_jit
from starcoder_ls.engine.runner.kernels.linear import linear, parallel_linear
from starcoder_ls.engine.runner.kernels.tiles import (
    BFLOAT16,
    FLOAT16,
    FLOAT32,
    TILE_OUTPUTS,
    as_pointer,
    load_as_float32,
)

NORM_1, NORM_2, ATTENTION, PROJECTION, INNER, OUTER, COLUMNS = 0, 2, 4, 8, 12, 16, 20
"""Columns of a layer: addresses of two norms' weight and bias, and what ``products.linear`` wants to know of four
matrices, four columns each."""


@jit
def _blocks(numbers):
    """Whole tiles that hold so many numbers."""
    return (numbers + TILE_OUTPUTS - 1) // TILE_OUTPUTS


@jit
def _embed(table, kind_bits, width, row, o, is_more):
    """A row of a table of float16 (16), bfloat16 (-16) or float32 (32), as float32; added to what is there."""
    found = numba.carray(as_pointer(o), width, np.float32)
    for j in range(width):
        if kind_bits == 16:
            value = load_as_float32(FLOAT16, table + 2 * (row * width + j))
        elif kind_bits == -16:
            value = load_as_float32(BFLOAT16, table + 2 * (row * width + j))
        else:
            value = load_as_float32(FLOAT32, table + 4 * (row * width + j))
        found[j] = found[j] + value if is_more else value


@jit
def _norm(x, weight, bias, width, eps, o):
    """Layer norm of one token. Addresses."""
    entry = numba.carray(as_pointer(x), width, np.float32)
    exit_ = numba.carray(as_pointer(o), width, np.float32)
    scale = numba.carray(as_pointer(weight), width, np.float32)
    shift = numba.carray(as_pointer(bias), width, np.float32)
    total = np.float32(0.0)
    for j in range(width):
        total += entry[j]
    mean = total / np.float32(width)
    spread = np.float32(0.0)
    for j in range(width):
        off = entry[j] - mean
        spread += off * off
    factor = np.float32(1.0) / np.sqrt(spread / np.float32(width) + eps)
    for j in range(width):
        exit_[j] = (entry[j] - mean) * factor * scale[j] + shift[j]


@jit
def _gelu(x, numbers):
    """GELU by its approximation with tanh (Hendrycks and Gimpel 2016), in place."""
    row = numba.carray(as_pointer(x), numbers, np.float32)
    for j in range(numbers):
        value = row[j]
        inner = np.float32(1.5957691216) * (value + np.float32(0.044715) * value * value * value)
        row[j] = value / (np.float32(1.0) + exponential(-inner))


@jit
def _product(layer, of, blocks, k, x, x_row, rows, o, o_row, threads):
    kind, w, scales, bias = layer[of], layer[of + 1], layer[of + 2], layer[of + 3]
    if threads > 1:
        parallel_linear(kind, w, scales, bias, blocks, k, x, x_row, rows, o, o_row, threads)
    else:
        linear(kind, w, scales, bias, blocks, k, x, x_row, rows, o, o_row)


@jit
def _keep(sequences, caches, mixed, mixed_row, width, dim):
    """New keys and values go to their caches."""
    for s in range(len(sequences)):
        first, time, start = sequences[s]
        keys = numba.carray(as_pointer(caches[s, 0] + 4 * dim * start), (time, dim), np.float32)
        values = numba.carray(as_pointer(caches[s, 1] + 4 * dim * start), (time, dim), np.float32)
        for t in range(time):
            own = numba.carray(as_pointer(mixed + mixed_row * (first + t) + 4 * width), 2 * dim, np.float32)
            for j in range(dim):
                keys[t, j] = own[j]
                values[t, j] = own[dim + j]


@jit
def _attend_some(sequences, caches, heads, dim, scale, q, q_row, o, o_row, scores, part, parts):
    """Each ``parts``-th token, from ``part`` on: later ones look at more, so that neighbours are about equal work."""
    for s in range(len(sequences)):
        first, time, start = sequences[s]
        for t in range((part - first) % parts, time, parts):
            at = first + t
            attend(q + q_row * at, caches[s, 0], caches[s, 1], dim, heads, start + t + 1, scale, scores, o + o_row * at)


@parallel_jit
def _attend_shared(sequences, caches, heads, dim, scale, q, q_row, o, o_row, scores, scores_size, threads):
    for part in numba.prange(threads):
        own = scores + scores_size * part
        _attend_some(sequences, caches, heads, dim, scale, q, q_row, o, o_row, own, part, threads)


@jit
def _norm_all(x, weight, bias, width, eps, tokens, o):
    for t in range(tokens):
        _norm(x + 4 * width * t, weight, bias, width, eps, o + 4 * width * t)


@jit
def _add_all(x, width, more, more_row, tokens):
    for t in range(tokens):
        total = numba.carray(as_pointer(x + 4 * width * t), width, np.float32)
        rest = numba.carray(as_pointer(more + more_row * t), width, np.float32)
        for j in range(width):
            total[j] += rest[j]


@parallel_jit
def _gelu_shared(x, row, numbers, tokens, threads):
    for part in numba.prange(threads):
        for t in range(part, tokens, threads):
            _gelu(x + row * t, numbers)


@jit
def _gelu_all(x, row, numbers, tokens, threads):
    if threads > 1:
        _gelu_shared(x, row, numbers, tokens, threads)
        return
    for t in range(tokens):
        _gelu(x + row * t, numbers)


@jit
def forward(layers, wte, wte_bits, wpe, wpe_bits, sizes, eps, scale, ids, places, sequences, caches, x, scratch):
    """Read ``ids`` at ``places``, and leave the hidden states before the last norm in ``x``: [tokens, width] float32.

    ``layers`` int64 [layers, COLUMNS]; ``sizes`` are width, heads, dim, inner, most keys, threads, vocabulary and
    positions; ``sequences`` int64 [n, 3] first token, tokens, tokens in the cache before; ``caches`` int64 [layers, n,
    2] addresses of keys and values, [capacity, dim] float32; ``scratch`` that of ``scratch_numbers`` float32. Raises
    IndexError.
    """
    width, heads, dim, inner, most, threads, vocabulary, positions = sizes
    if ids.min() < 0 or ids.max() >= vocabulary:
        raise IndexError("there is no token of such a number")
    if most > positions:
        raise IndexError("more tokens than the model has positions")
    tokens, row = len(ids), 4 * width
    mixed_blocks, width_blocks, inner_blocks = _blocks(width + 2 * dim), _blocks(width), _blocks(inner)
    normed = scratch
    mixed = normed + row * tokens
    mixed_row, inner_row, out_row = (
        4 * TILE_OUTPUTS * mixed_blocks,
        4 * TILE_OUTPUTS * inner_blocks,
        4 * TILE_OUTPUTS * width_blocks,
    )
    wide = mixed + mixed_row * tokens
    out = wide + inner_row * tokens
    scores = out + out_row * tokens
    scores_size = 4 * heads * most
    for t in range(tokens):
        _embed(wte, wte_bits, width, ids[t], x + row * t, False)
        _embed(wpe, wpe_bits, width, places[t], x + row * t, True)
    for n in range(len(layers)):
        layer, own = layers[n], caches[n]
        _norm_all(x, layer[NORM_1], layer[NORM_1 + 1], width, eps, tokens, normed)
        _product(layer, ATTENTION, mixed_blocks, width, normed, row, tokens, mixed, mixed_row, threads)
        _keep(sequences, own, mixed, mixed_row, width, dim)
        if threads > 1:
            _attend_shared(
                sequences, own, heads, dim, scale, mixed, mixed_row, normed, row, scores, scores_size, threads
            )
        else:
            _attend_some(sequences, own, heads, dim, scale, mixed, mixed_row, normed, row, scores, 0, 1)
        _product(layer, PROJECTION, width_blocks, width, normed, row, tokens, out, out_row, threads)
        _add_all(x, width, out, out_row, tokens)
        _norm_all(x, layer[NORM_2], layer[NORM_2 + 1], width, eps, tokens, normed)
        _product(layer, INNER, inner_blocks, width, normed, row, tokens, wide, inner_row, threads)
        _gelu_all(wide, inner_row, inner, tokens, threads)
        _product(layer, OUTER, width_blocks, inner, wide, inner_row, tokens, out, out_row, threads)
        _add_all(x, width, out, out_row, tokens)


def scratch_floats(width: int, heads: int, dim: int, inner: int, most: int, tokens: int, threads: int) -> int:
    """How many float32 ``forward`` needs beside its answer."""
    rows = width + TILE_OUTPUTS * sum(_blocks(numbers) for numbers in (width + 2 * dim, inner, width))
    return int(rows * tokens + heads * most * threads)
