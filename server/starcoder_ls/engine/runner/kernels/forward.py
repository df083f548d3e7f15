"""The forward pass of GPTBigCode over new tokens of several sequences, in one compiled function.

Works on addresses and sizes only. Decides the order of operations and which of them are distributed over threads.
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

NORM_1, NORM_2, C_ATTN, ATTN_C_PROJ, C_FC, MLP_C_PROJ, COLUMNS = 0, 2, 4, 8, 12, 16, 20
"""Columns of the table of layers: addresses of weight and bias of two norms, then four matrices by their names in
transformers, with four columns each: weight format and the addresses of weights, scales and bias."""


@jit
def _blocks(outputs):
    """Return the number of blocks of 64 that hold so many outputs."""
    return (outputs + TILE_OUTPUTS - 1) // TILE_OUTPUTS


@jit
def _row_bytes(blocks):
    return 4 * TILE_OUTPUTS * blocks


@jit
def _embed(table, type_bits, width, row, out, is_added):
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
        values[j] = values[j] + value if is_added else value


@jit
def _layer_norm(x, weight, bias, width, eps, out):
    """Apply layer norm to one token. All tensors are addresses of [width] float32."""
    inputs = numba.carray(as_pointer(x), width, np.float32)
    outputs = numba.carray(as_pointer(out), width, np.float32)
    scale = numba.carray(as_pointer(weight), width, np.float32)
    shift = numba.carray(as_pointer(bias), width, np.float32)
    total = np.float32(0.0)
    for j in range(width):
        total += inputs[j]
    mean = total / np.float32(width)
    squares = np.float32(0.0)
    for j in range(width):
        deviation = inputs[j] - mean
        squares += deviation * deviation
    factor = np.float32(1.0) / np.sqrt(squares / np.float32(width) + eps)
    for j in range(width):
        outputs[j] = (inputs[j] - mean) * factor * scale[j] + shift[j]


@jit
def _gelu(x, size):
    """Apply GELU in place, in the tanh approximation of Hendrycks and Gimpel (2016)."""
    values = numba.carray(as_pointer(x), size, np.float32)
    for j in range(size):
        value = values[j]
        inner = np.float32(1.5957691216) * (value + np.float32(0.044715) * value * value * value)
        values[j] = value / (np.float32(1.0) + exponential(-inner))


@jit
def _linear(layer, matrix, blocks, inputs, x, x_stride, rows, out, out_stride, threads):
    """Multiply by the matrix whose columns in ``layer`` begin at ``matrix``."""
    weight_format, weights, scales, bias = layer[matrix], layer[matrix + 1], layer[matrix + 2], layer[matrix + 3]
    if threads > 1:
        parallel_linear(
            weight_format, weights, scales, bias, blocks, inputs, x, x_stride, rows, out, out_stride, threads
        )
    else:
        linear(weight_format, weights, scales, bias, blocks, inputs, x, x_stride, rows, out, out_stride)


@jit
def _store_keys_values(sequences, caches, qkv, qkv_stride, width, head_dim):
    """Copy the new keys and values, which follow the queries in ``qkv``, to the caches."""
    for s in range(len(sequences)):
        first, time, start = sequences[s]
        keys = numba.carray(as_pointer(caches[s, 0] + 4 * head_dim * start), (time, head_dim), np.float32)
        values = numba.carray(as_pointer(caches[s, 1] + 4 * head_dim * start), (time, head_dim), np.float32)
        for t in range(time):
            address = qkv + qkv_stride * (first + t) + 4 * width
            states = numba.carray(as_pointer(address), 2 * head_dim, np.float32)
            for j in range(head_dim):
                keys[t, j] = states[j]
                values[t, j] = states[head_dim + j]


@jit
def _attend_share(sequences, caches, heads, head_dim, scale, qkv, qkv_stride, out, out_stride, scores, share, shares):
    """Attend with every ``shares``-th token from ``share`` on, so that shares are about equal work.

    Later tokens of a sequence attend to more positions.
    """
    for s in range(len(sequences)):
        first, time, start = sequences[s]
        keys, values = caches[s, 0], caches[s, 1]
        for t in range((share - first) % shares, time, shares):
            token = first + t
            query, token_out = qkv + qkv_stride * token, out + out_stride * token
            attend(query, keys, values, head_dim, heads, start + t + 1, scale, scores, token_out)


@parallel_jit
def _attend_parallel(
    sequences, caches, heads, head_dim, scale, qkv, qkv_stride, out, out_stride, scores, scores_bytes, threads
):
    for thread in numba.prange(threads):
        own_scores = scores + scores_bytes * thread
        _attend_share(
            sequences, caches, heads, head_dim, scale, qkv, qkv_stride, out, out_stride, own_scores, thread, threads
        )


@jit
def _attend_all(
    sequences, caches, heads, head_dim, scale, qkv, qkv_stride, out, out_stride, scores, scores_bytes, threads
):
    if threads > 1:
        _attend_parallel(
            sequences, caches, heads, head_dim, scale, qkv, qkv_stride, out, out_stride, scores, scores_bytes, threads
        )
    else:
        _attend_share(sequences, caches, heads, head_dim, scale, qkv, qkv_stride, out, out_stride, scores, 0, 1)


@jit
def _layer_norm_all(x, weight, bias, width, eps, tokens, out):
    for t in range(tokens):
        _layer_norm(x + 4 * width * t, weight, bias, width, eps, out + 4 * width * t)


@jit
def _add_all(x, width, addend, addend_stride, tokens):
    """Add ``addend`` to the residual stream ``x``."""
    for t in range(tokens):
        total = numba.carray(as_pointer(x + 4 * width * t), width, np.float32)
        values = numba.carray(as_pointer(addend + addend_stride * t), width, np.float32)
        for j in range(width):
            total[j] += values[j]


@parallel_jit
def _gelu_parallel(x, stride, size, tokens, threads):
    for thread in numba.prange(threads):
        for t in range(thread, tokens, threads):
            _gelu(x + stride * t, size)


@jit
def _gelu_all(x, stride, size, tokens, threads):
    if threads > 1:
        _gelu_parallel(x, stride, size, tokens, threads)
        return
    for t in range(tokens):
        _gelu(x + stride * t, size)


@jit
def forward(layers, wte, wte_bits, wpe, wpe_bits, sizes, eps, scale, ids, positions, sequences, caches, x, scratch):
    """Run all layers for ``ids`` at ``positions``; ``x`` receives hidden states before the last norm: [tokens, width].

    ``layers`` int64 [layers, COLUMNS]; ``wte``, ``wpe`` addresses of the embedding tables, with types as in ``_embed``;
    ``sizes`` int64 width, heads, head_dim, inner width, most positions attended to, threads, vocabulary, positions of
    the model; ``sequences`` int64 [n, 3] first token, number of tokens, cached tokens; ``caches`` int64 [layers, n, 2]
    addresses of keys and values [capacity, head_dim] float32; ``x`` and ``scratch`` addresses of float32, the latter of
    ``scratch_floats``. Raises IndexError for an id or a position that the model lacks.
    """
    width, heads, head_dim, inner, max_end, threads, vocabulary_size, max_positions = sizes
    if ids.min() < 0 or ids.max() >= vocabulary_size:
        raise IndexError("there is no token with such an id")
    if max_end > max_positions:
        raise IndexError("more tokens than the model has positions")
    tokens, row = len(ids), 4 * width
    qkv_blocks, width_blocks, inner_blocks = _blocks(width + 2 * head_dim), _blocks(width), _blocks(inner)
    qkv_row, inner_row, out_row = _row_bytes(qkv_blocks), _row_bytes(inner_blocks), _row_bytes(width_blocks)
    normed = scratch
    qkv = normed + row * tokens
    hidden = qkv + qkv_row * tokens
    out = hidden + inner_row * tokens
    scores = out + out_row * tokens
    scores_bytes = 4 * heads * max_end
    for t in range(tokens):
        _embed(wte, wte_bits, width, ids[t], x + row * t, False)
        _embed(wpe, wpe_bits, width, positions[t], x + row * t, True)
    for n in range(len(layers)):
        layer, kv = layers[n], caches[n]
        _layer_norm_all(x, layer[NORM_1], layer[NORM_1 + 1], width, eps, tokens, normed)
        _linear(layer, C_ATTN, qkv_blocks, width, normed, row, tokens, qkv, qkv_row, threads)
        _store_keys_values(sequences, kv, qkv, qkv_row, width, head_dim)
        _attend_all(sequences, kv, heads, head_dim, scale, qkv, qkv_row, normed, row, scores, scores_bytes, threads)
        _linear(layer, ATTN_C_PROJ, width_blocks, width, normed, row, tokens, out, out_row, threads)
        _add_all(x, width, out, out_row, tokens)
        _layer_norm_all(x, layer[NORM_2], layer[NORM_2 + 1], width, eps, tokens, normed)
        _linear(layer, C_FC, inner_blocks, width, normed, row, tokens, hidden, inner_row, threads)
        _gelu_all(hidden, inner_row, inner, tokens, threads)
        _linear(layer, MLP_C_PROJ, width_blocks, inner, hidden, inner_row, tokens, out, out_row, threads)
        _add_all(x, width, out, out_row, tokens)


def scratch_floats(width: int, heads: int, head_dim: int, inner: int, max_end: int, tokens: int, threads: int) -> int:
    """Return the number of float32 that ``forward`` needs as scratch memory."""
    floats_per_token = width + TILE_OUTPUTS * sum(_blocks(size) for size in (width + 2 * head_dim, inner, width))
    return int(floats_per_token * tokens + heads * max_end * threads)
