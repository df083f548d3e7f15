"""Attention of new tokens over cached keys and values, of which several query heads can share a head.

Decides how query heads and keys are split into tiles, and how tokens and heads are distributed over threads.
"""

from __future__ import annotations

import functools

import numba
import numpy as np
from numba import types

from starcoder_ls.engine.runner.kernels.calls import address_of, call
from starcoder_ls.engine.runner.kernels.elementwise import exponential
from starcoder_ls.engine.runner.kernels.jit import jit, parallel_jit
from starcoder_ls.engine.runner.kernels.linear import matmul_block
from starcoder_ls.engine.runner.kernels.reductions import vector_max, vector_sum
from starcoder_ls.engine.runner.kernels.tiles import FLOAT32, TILE_OUTPUTS, VECTOR_LANES, as_pointer, dot_tile, prefetch

_zero_bias = np.zeros(TILE_OUTPUTS, np.float32)
LOWEST_EXPONENT = np.float32(-70.0)
"""Scores so far below the largest get the weight 0: at most 4e-31 is missing. Otherwise the division by the sum made
them denormal numbers, for which a processor needs microcode: two layers of the bundled model took 5 and 11 times as
long as the others behind 500 tokens of code."""
KEYS_AHEAD = 32
"""Positions between a key that is multiplied and the key that is prefetched meanwhile."""
PREFETCHED_VALUE_BYTES = 1 << 19
"""Values are prefetched while the keys are multiplied, if there are no more than this: they must fit the second cache
of the processor, with the keys."""
_CACHE_LINE = 64
_dot_4x4, _dot_2x4, _dot_1x4, _dot_1x1 = dot_tile(4, 4), dot_tile(2, 4), dot_tile(1, 4), dot_tile(1, 1)


@jit
def padded(positions):
    """Return the length of a row of scores: whole vectors of 16."""
    return (positions + VECTOR_LANES - 1) // VECTOR_LANES * VECTOR_LANES


@jit
def multiply_transposed(query, query_stride, keys, dim, rows, end, out, out_stride):
    """Compute ``out`` [rows, end], the products of ``query`` [rows, dim] with ``keys`` [end, dim], all float32.

    Addresses, and bytes between the rows of ``query`` and ``out``; ``dim`` is a multiple of 16.
    """
    for position in range(0, end - end % 4, 4):
        key, column, row = keys + 4 * dim * position, out + 4 * position, 0
        while rows - row >= 4:
            _dot_4x4(query + query_stride * row, query_stride, key, dim, column + out_stride * row, out_stride)
            row += 4
        if rows - row >= 2:
            _dot_2x4(query + query_stride * row, query_stride, key, dim, column + out_stride * row, out_stride)
            row += 2
        if rows - row == 1:
            _dot_1x4(query + query_stride * row, query_stride, key, dim, column + out_stride * row, out_stride)
    for position in range(end - end % 4, end):
        key, column = keys + 4 * dim * position, out + 4 * position
        for row in range(rows):
            _dot_1x1(query + query_stride * row, query_stride, key, dim, column + out_stride * row, out_stride)


@jit
def _softmax(scores, end, scale):
    """Replace ``scores`` [padded(end)], of which ``end`` are used, by their softmax after scaling."""
    row_length = padded(end)
    weights = numba.carray(as_pointer(scores), row_length, np.float32)
    for position in range(end, row_length):
        weights[position] = -np.inf
    largest = vector_max(scores, row_length)
    for position in range(end):
        exponent = (weights[position] - largest) * scale
        weights[position] = exponential(exponent) if exponent > LOWEST_EXPONENT else np.float32(0.0)
    for position in range(end, row_length):
        weights[position] = np.float32(0.0)
    factor = np.float32(1.0) / vector_sum(scores, row_length)
    for position in range(end):
        weights[position] *= factor


@jit
def _prefetch(address, size):
    """Prefetch ``size`` bytes, a multiple of the size of a cache line."""
    for line in range(0, size, _CACHE_LINE):
        prefetch(address + line)


@jit
def attend(query, keys, values, head_dim, heads, end, scale, scores, out, is_first):
    """Attend with ``query`` [heads, head_dim] of one token to the first ``end`` positions -> ``out`` [heads, head_dim].

    All tensors are addresses of float32. ``keys`` and ``values`` are [capacity, head_dim]; ``scores`` is scratch memory
    for [heads, padded(end)]. ``is_first`` is not 0 if keys and values have not been read in this layer: they are
    prefetched, because a processor by itself fetches them at half the speed if weights or many sequences are read
    between two layers.
    """
    scores_stride, row = 4 * padded(end), 4 * head_dim
    step = 4 if is_first != 0 else max(end, 1)
    has_prefetched_values = row * end <= PREFETCHED_VALUE_BYTES
    for position in range(0, end, step):
        positions = min(step, end - position)
        if is_first != 0:
            _prefetch(keys + row * (position + KEYS_AHEAD), row * positions)
            if has_prefetched_values:
                _prefetch(values + row * position, row * positions)
        key, column = keys + row * position, scores + 4 * position
        multiply_transposed(query, row, key, head_dim, heads, positions, column, scores_stride)
    for head in range(heads):
        _softmax(scores + scores_stride * head, end, scale)
    bias = _zero_bias.ctypes.data
    for block in range(0, head_dim, TILE_OUTPUTS):  # weights @ values, 64 columns at a time
        columns = 4 * block
        matmul_block(FLOAT32, values + columns, row, bias, scores, scores_stride, end, heads, out + columns, row)


@functools.cache
def attend_address() -> int:
    """The address of ``attend``, which is compiled now if it is not in the cache."""
    integers = [types.int64] * 6
    return address_of(attend, types.void(*integers, types.float32, *[types.int64] * 3))


@jit
def store_keys_values(sequences, caches, qkv, qkv_stride, heads, kv_heads, head_dim):
    """Copy the new keys and values, which follow the queries in ``qkv``, to the caches."""
    for s in range(len(sequences)):
        first, time, start = sequences[s]
        for kv_head in range(kv_heads):
            offset = caches[s, 2] * kv_head + 4 * head_dim * start
            keys = numba.carray(as_pointer(caches[s, 0] + offset), (time, head_dim), np.float32)
            values = numba.carray(as_pointer(caches[s, 1] + offset), (time, head_dim), np.float32)
            for t in range(time):
                address = qkv + qkv_stride * (first + t) + 4 * head_dim * (heads + kv_head)
                new_keys = numba.carray(as_pointer(address), head_dim, np.float32)
                new_values = numba.carray(as_pointer(address + 4 * head_dim * kv_heads), head_dim, np.float32)
                for j in range(head_dim):
                    keys[t, j] = new_keys[j]
                    values[t, j] = new_values[j]


@jit
def _attend_share(
    attend_function, sequences, caches, heads, kv_heads, head_dim, window, scale, qkv, qkv_stride, out, out_stride,
    scores, share, shares,
):  # fmt: skip
    """Attend with every ``shares``-th pair of a token and a key head from ``share`` on, so that shares are about equal
    work: later tokens of a sequence attend to more positions."""
    group = heads // kv_heads
    for s in range(len(sequences)):
        first, time, start = sequences[s]
        for pair in range((share - first * kv_heads) % shares, time * kv_heads, shares):
            t, kv_head = pair // kv_heads, pair % kv_heads
            token, offset, end = first + t, 4 * head_dim * group * kv_head, start + t + 1
            begin = max(0, end - window)
            past = caches[s, 2] * kv_head + 4 * head_dim * begin
            query, token_out = qkv + qkv_stride * token + offset, out + out_stride * token + offset
            keys, values = caches[s, 0] + past, caches[s, 1] + past
            is_first = 1 if pair < max(kv_heads, shares) else 0  # by this thread
            call(
                attend_function,
                (query, keys, values, head_dim, group, end - begin, scale, scores, token_out, np.int64(is_first)),
            )


@parallel_jit
def _attend_parallel(
    attend_function, sequences, caches, heads, kv_heads, head_dim, window, scale, qkv, qkv_stride, out, out_stride,
    scores, scores_bytes, threads,
):  # fmt: skip
    for thread in numba.prange(threads):
        own_scores = scores + scores_bytes * thread
        _attend_share(
            attend_function, sequences, caches, heads, kv_heads, head_dim, window, scale, qkv, qkv_stride, out,
            out_stride, np.int64(own_scores), np.int64(thread), threads,
        )  # fmt: skip


@jit
def attend_all(
    attend_function, sequences, caches, heads, kv_heads, head_dim, window, scale, qkv, qkv_stride, out, out_stride,
    scores, scores_bytes, threads, tokens,
):  # fmt: skip
    """Attend with every new token to its own sequence, to at most ``window`` positions up to its own, by the function
    at the address ``attend_function``.

    ``qkv`` [tokens, heads + 2 * kv_heads, head_dim] -> ``out`` [tokens, heads, head_dim]. The query heads
    ``n * heads / kv_heads`` and following share the key head ``n``. ``caches`` [sequences, 3]: addresses of keys and
    values [kv_heads, capacity, head_dim], and bytes between their heads. Each thread has ``scores_bytes`` of scores.
    """
    if threads > 1 and tokens * kv_heads > 1:
        _attend_parallel(
            attend_function, sequences, caches, heads, kv_heads, head_dim, window, scale, qkv, qkv_stride, out,
            out_stride, scores, scores_bytes, threads,
        )  # fmt: skip
    else:  # as int64: numba compiles a function again for each constant
        _attend_share(
            attend_function, sequences, caches, heads, kv_heads, head_dim, window, scale, qkv, qkv_stride, out,
            out_stride, scores, np.int64(0), np.int64(1),
        )  # fmt: skip
