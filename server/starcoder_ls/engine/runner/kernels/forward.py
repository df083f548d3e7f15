"""The forward pass of a decoder over new tokens of several sequences, in one compiled function for all architectures.

Works on addresses and sizes only. Decides the order of operations; the table of layers and ``sizes`` say which norm,
activation and positions a model has.
"""

from __future__ import annotations

import functools

import numba
import numpy as np
from numba import types
from numpy import int64

from starcoder_ls.engine.runner.kernels.adapter import COLUMNS as CHANGE_COLUMNS
from starcoder_ls.engine.runner.kernels.adapter import END_BLOCK, INPUTS, OWN_INPUT, PARTS
from starcoder_ls.engine.runner.kernels.attention import attend_all, padded, store_keys_values
from starcoder_ls.engine.runner.kernels.calls import address_of, call
from starcoder_ls.engine.runner.kernels.elementwise import SILU_GATE, activate, add, embed, norm, rotate
from starcoder_ls.engine.runner.kernels.jit import jit
from starcoder_ls.engine.runner.kernels.linear import linear, parallel_linear
from starcoder_ls.engine.runner.kernels.quantized import quantize_rows, quantized_bytes, quantized_row_bytes
from starcoder_ls.engine.runner.kernels.tiles import TILE_OUTPUTS, as_pointer

NORM_1, NORM_2, QKV, ATTENTION_OUTPUT, MLP_INPUT, MLP_OUTPUT, WINDOW, COLUMNS = 0, 2, 4, 8, 12, 16, 20, 21
"""Columns of the table of layers: addresses of weight and bias of two norms; four matrices with four columns each,
the addresses of a function as ``linear.float16_block``, of weights, scales (0 for 16 bits) and bias; the most positions
that a token attends to."""


@jit
def _blocks(outputs):
    """Return the number of blocks of 64 that hold so many outputs."""
    return (outputs + TILE_OUTPUTS - 1) // TILE_OUTPUTS


@jit
def _row_bytes(blocks):
    return 4 * TILE_OUTPUTS * blocks


@jit
def _mlp_blocks(inner, activation):
    """Return the number of blocks of the MLP's first matrix, which can be two matrices of ``inner`` outputs."""
    return 2 * _blocks(inner) if activation == SILU_GATE else _blocks(inner)


@jit
def _linear(layer, matrix, first, end, inputs, x, x_stride, rows, out, out_stride, threads, quantized):
    """Multiply by blocks ``first`` to before ``end`` of the matrix whose columns in ``layer`` begin at ``matrix``.

    ``quantized`` is scratch memory.
    """
    function, weights, scales, bias = layer[matrix], layer[matrix + 1], layer[matrix + 2], layer[matrix + 3]
    if scales != 0:
        quantize_rows(x, x_stride, inputs, rows, quantized)
        x, x_stride = quantized, quantized_row_bytes(inputs)
    if threads > 1:
        parallel_linear(
            function, weights, scales, bias, first, end, inputs, x, x_stride, rows, out, out_stride, threads
        )
    else:
        linear(function, weights, scales, bias, first, end, inputs, x, x_stride, rows, out, out_stride)


@jit
def _multiply(
    layer_address, matrix, blocks, inputs, x, x_stride, rows, out, out_stride, threads, quantized, change_product,
    changes, scratch,
):  # fmt: skip
    """As ``_linear``, with the ``changes`` of an adapter, which can change ``x``, if ``change_product`` is not 0.

    Joined matrices that read different inputs are multiplied one after the other.
    """
    layer, first = numba.carray(as_pointer(layer_address), COLUMNS, np.int64), int64(0)
    if change_product == 0:
        _linear(layer, matrix, first, blocks, inputs, x, x_stride, rows, out, out_stride, threads, quantized)
        return
    call(change_product, (changes, 1, x, x_stride, rows, out, out_stride, threads, scratch))
    for part in range(PARTS):
        change = numba.carray(as_pointer(changes + 8 * CHANGE_COLUMNS * part), CHANGE_COLUMNS, np.int64)
        own_x, own_stride = x, x_stride
        if change[OWN_INPUT] != 0:
            own_x, own_stride = change[OWN_INPUT], 4 * change[INPUTS]
        end = min(change[END_BLOCK], blocks)
        if end > first:
            _linear(layer, matrix, first, end, inputs, own_x, own_stride, rows, out, out_stride, threads, quantized)
            first = end
    call(change_product, (changes, 0, x, x_stride, rows, out, out_stride, threads, scratch))


@functools.cache
def multiply_address() -> int:
    """The address of ``_multiply``: within ``forward``, four copies of it would make the compilation longer."""
    return address_of(_multiply, types.void(*[types.int64] * 14))


@jit
def _multiply_by(shared, layers, n, part, blocks, inputs, x, x_stride, rows, out, out_stride):
    """Multiply by the matrix ``part`` of layer ``n``: 0 to 3 in the order of the table of layers.

    ``part`` is an int64 and no constant, because numba compiles a function again for each constant. ``shared``:
    threads, scratch memory of ``quantize_rows``, and ``multiply_address()`` with three zeros without an adapter, or
    ``change_product_address()`` and the addresses of int64 [layers, 4, PARTS, CHANGE_COLUMNS] and of scratch memory,
    all as in ``kernels.adapter``.
    """
    threads, quantized, (multiply, change_product, changes, change_scratch) = shared
    changes += 8 * CHANGE_COLUMNS * PARTS * (4 * n + part)
    layer, matrix = np.int64(layers.ctypes.data) + 8 * COLUMNS * n, QKV + (ATTENTION_OUTPUT - QKV) * part
    call(
        multiply,
        (layer, matrix, blocks, inputs, x, x_stride, rows, out, out_stride, threads, quantized, change_product, changes,
         change_scratch),
    )  # fmt: skip


@jit
def _embed_all(wte, wte_bits, wpe, wpe_bits, width, ids, positions, x):
    """Write the embeddings of all tokens, and of their positions if the model has a table of them, to ``x``."""
    for t in range(len(ids)):
        embed(wte, wte_bits, width, ids[t], x + 4 * width * t, int64(0))
        if wpe != 0:
            embed(wpe, wpe_bits, width, positions[t], x + 4 * width * t, int64(1))


@jit
def _rotate_all(qkv, qkv_stride, heads, head_dim, rotary, positions):
    """Rotate queries and keys, the first ``heads`` heads of each row, by the angles of the row's position."""
    for t in range(len(positions)):
        rotate(qkv + qkv_stride * t, heads, head_dim, rotary + 4 * head_dim * positions[t])


@jit
def _widest(sizes):
    """The most inputs that a matrix has."""
    width, heads, _, head_dim, inner = sizes[0], sizes[1], sizes[2], sizes[3], sizes[4]
    return max(width, heads * head_dim, inner)


@jit
def _require_known(ids, vocabulary_size, max_end, max_positions):
    """Raise IndexError for an id or a position that the model lacks."""
    if ids.min() < 0 or ids.max() >= vocabulary_size:
        raise IndexError("there is no token with such an id")
    if max_end > max_positions:
        raise IndexError("more tokens than the model has positions")


@jit
def forward(
    layers, wte, wte_bits, wpe, wpe_bits, rotary, sizes, eps, scale, ids, positions, sequences, caches, x, scratch,
    calls,
):  # fmt: skip
    """Run layers for ``ids`` at ``positions``; ``x`` receives hidden states before the last norm: [tokens, width].

    ``layers`` int64 [layers, COLUMNS]; ``wte``, ``wpe`` addresses of the embedding tables, with types as in ``embed``,
    and ``rotary`` of float32 [positions, head_dim] as in ``rotate``: ``wpe`` or ``rotary`` is 0 if the model has none.
    ``sizes`` int64: width, query heads, key heads, head_dim, inner width, norm, activation, vocabulary, positions of
    the model, address of ``attend``, most positions attended to, threads, first layer and the one after the last: a
    pass can be several calls, between which ``x`` and the caches stay. ``sequences`` int64 [n, 3]: first token, number
    of tokens, cached tokens; ``caches`` int64 [layers, n, 3] as in ``attend_all``; ``x`` and ``scratch`` addresses of
    float32, the latter of ``scratch_floats``; ``calls`` as in ``_multiply_by``. Raises what ``_require_known`` raises.
    """
    (
        width, heads, kv_heads, head_dim, inner, norm_kind, activation, vocabulary_size, max_positions, attend, max_end,
        threads, first_layer, end_layer,
    ) = sizes  # fmt: skip
    _require_known(ids, vocabulary_size, max_end, max_positions)
    tokens, row, query_width = len(ids), 4 * width, heads * head_dim
    qkv_blocks = _blocks(query_width + 2 * kv_heads * head_dim)
    width_blocks, mlp_blocks = _blocks(width), _mlp_blocks(inner, activation)
    normed_row = 4 * max(width, query_width)
    qkv_row, mlp_row, out_row = _row_bytes(qkv_blocks), _row_bytes(mlp_blocks), _row_bytes(width_blocks)
    normed, qkv = scratch, scratch + normed_row * tokens
    hidden = qkv + qkv_row * tokens
    out = hidden + mlp_row * tokens
    quantized = out + out_row * tokens
    scores, shared = quantized + quantized_bytes(_widest(sizes), tokens), (threads, quantized, calls)
    scores_bytes, up_offset = 4 * heads // kv_heads * padded(max_end), _row_bytes(_blocks(inner))
    if first_layer == 0:
        _embed_all(wte, wte_bits, wpe, wpe_bits, width, ids, positions, x)
    for n in range(first_layer, end_layer):
        layer, kv = layers[n], caches[n]
        norm(norm_kind, x, row, layer[NORM_1], layer[NORM_1 + 1], width, eps, tokens, normed, normed_row)
        _multiply_by(shared, layers, n, int64(0), qkv_blocks, width, normed, normed_row, tokens, qkv, qkv_row)
        if rotary != 0:
            _rotate_all(qkv, qkv_row, heads + kv_heads, head_dim, rotary, positions)
        store_keys_values(sequences, kv, qkv, qkv_row, heads, kv_heads, head_dim)
        attend_all(
            attend, sequences, kv, heads, kv_heads, head_dim, layer[WINDOW], scale, qkv, qkv_row, normed, normed_row,
            scores, scores_bytes, threads, tokens,
        )  # fmt: skip
        _multiply_by(shared, layers, n, int64(1), width_blocks, query_width, normed, normed_row, tokens, out, out_row)
        add(x, width, out, out_row, tokens)
        norm(norm_kind, x, row, layer[NORM_2], layer[NORM_2 + 1], width, eps, tokens, normed, normed_row)
        _multiply_by(shared, layers, n, int64(2), mlp_blocks, width, normed, normed_row, tokens, hidden, mlp_row)
        activate(activation, hidden, mlp_row, inner, up_offset, tokens, threads)
        _multiply_by(shared, layers, n, int64(3), width_blocks, inner, hidden, mlp_row, tokens, out, out_row)
        add(x, width, out, out_row, tokens)


@jit
def scratch_floats(sizes, tokens):
    """Return the number of float32 that ``forward`` needs as scratch memory for ``sizes`` and so many tokens."""
    width, heads, kv_heads, head_dim, inner, _, activation, _, _, _, max_end, threads, _, _ = sizes
    qkv_blocks = _blocks((heads + 2 * kv_heads) * head_dim)
    blocks = qkv_blocks + _mlp_blocks(inner, activation) + _blocks(width)
    scores = heads // kv_heads * padded(max_end) * threads
    quantized = quantized_bytes(_widest(sizes), tokens) // 4
    return (max(width, heads * head_dim) + TILE_OUTPUTS * blocks) * tokens + quantized + scores
