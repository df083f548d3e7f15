"""What an adapter changes of a matrix product: a branch of two small matrices, or factors of the input or the output.

``change_product`` is compiled apart from ``forward``, which calls it by its address: compiling costs seconds, and most
users have no adapter. Decides the order of the sums of a branch, which is that of each row alone.
"""

from __future__ import annotations

import enum
import functools
import math

import numba
import numpy as np
from numba import types

from starcoder_ls.engine.runner.kernels.attention import multiply_transposed
from starcoder_ls.engine.runner.kernels.calls import address_of, call
from starcoder_ls.engine.runner.kernels.jit import jit, parallel_jit
from starcoder_ls.engine.runner.kernels.linear import matmul_block
from starcoder_ls.engine.runner.kernels.tiles import FLOAT32, TILE_OUTPUTS, as_pointer

PARTS = 3
"""The most matrices of a product that an adapter can change apart from each other: queries, keys, values."""

(
    POSITION, FACTORS, DOWN, UP, RANK, NON_LINEARITY, INPUTS, OUTPUTS, FIRST_OUTPUT, FUNCTION, OWN_INPUT, END_BLOCK,
    COLUMNS,
) = range(13)  # fmt: skip
"""Columns of a change. ``FACTORS``: address of float32 [OUTPUTS], or 0 if the change is a branch. ``DOWN``: address of
float32 [RANK, INPUTS]; ``UP``: of float32 [blocks of OUTPUTS, RANK, 64]. ``INPUTS`` is a multiple of 16.
``FIRST_OUTPUT``: where the outputs of the changed matrix begin among those of the product. ``FUNCTION``:
``compute_share_address()``. ``OWN_INPUT``: address of float32 [rows, INPUTS] for the changed input of one of several
matrices, or 0 if the input is changed in place. ``END_BLOCK``: the product computes the blocks up to it from the input
of this part, and 0 if the part has none of its own."""

MIN_PARALLEL_PRODUCTS = 250_000
"""A branch of fewer multiplications uses one thread: its two loops wake the others twice, 12 us each."""

_GROUP_ROWS = 48
"""Rows whose sums for 64 outputs are in scratch memory at once, 12 KB."""

_zero_bias = np.zeros(TILE_OUTPUTS, np.float32)


class Position(enum.IntEnum):
    """What a change applies to: nothing, the product's input, the output as a function of the input, or the output."""

    NONE = 0
    INPUT = 1
    PARALLEL = 2
    OUTPUT = 3


class NonLinearity(enum.IntEnum):
    """What a branch applies between its matrices, by the names of transformers; GELU is the exact one."""

    LINEAR = 0
    TANH = 1
    RELU = 2
    GELU = 3
    SILU = 4
    SIGMOID = 5
    LEAKY_RELU = 6


@jit
def _apply(non_linearity, x, first, last):
    """Apply a non-linearity to the numbers ``first`` to before ``last`` of ``x`` in place."""
    values = numba.carray(as_pointer(x), last, np.float32)
    one = np.float32(1.0)
    for j in range(first, last):
        value = values[j]
        if non_linearity == NonLinearity.TANH.value:
            values[j] = math.tanh(value)
        elif non_linearity == NonLinearity.RELU.value:
            values[j] = np.float32(0.0) if value < 0 else value
        elif non_linearity == NonLinearity.GELU.value:
            values[j] = np.float32(0.5) * value * (one + math.erf(value * np.float32(0.70710678)))
        elif non_linearity == NonLinearity.SILU.value:
            values[j] = value / (one + math.exp(-value))
        elif non_linearity == NonLinearity.SIGMOID.value:
            values[j] = one / (one + math.exp(-value))
        else:
            values[j] = value if value > 0 else value * np.float32(0.01)


@jit
def _compute_inner(change, source, source_stride, rows, inner, first, last):
    """Compute columns ``first`` to before ``last`` of ``inner`` [rows, RANK], between the matrices of a branch."""
    stride = 4 * change[RANK]
    down = change[DOWN] + 4 * change[INPUTS] * first
    multiply_transposed(source, source_stride, down, change[INPUTS], rows, last - first, inner + 4 * first, stride)
    if change[NON_LINEARITY] != NonLinearity.LINEAR.value:
        for row in range(rows):
            _apply(change[NON_LINEARITY], inner + stride * row, first, last)


@jit
def _add_outer(change, inner, rows, target, target_stride, sums, first, last):
    """Add blocks ``first`` to before ``last`` of the outputs of a branch to ``target``; ``sums`` is scratch memory."""
    rank, row_bytes = change[RANK], 4 * TILE_OUTPUTS
    for block in range(first, last):
        up, count = change[UP] + row_bytes * rank * block, min(TILE_OUTPUTS, change[OUTPUTS] - TILE_OUTPUTS * block)
        for start in range(0, rows, _GROUP_ROWS):
            group, bias = min(_GROUP_ROWS, rows - start), _zero_bias.ctypes.data
            group_inner = inner + 4 * rank * start
            matmul_block(FLOAT32, up, row_bytes, bias, group_inner, 4 * rank, rank, group, sums, row_bytes)
            for row in range(group):
                addends = numba.carray(as_pointer(sums + row_bytes * row), count, np.float32)
                total = target + target_stride * (start + row) + row_bytes * block
                totals = numba.carray(as_pointer(total), count, np.float32)
                for j in range(count):
                    totals[j] += addends[j]


@jit
def _compute_share(
    change_address, is_outer, source, source_stride, rows, inner, target, target_stride, sums, first, last
):
    """Compute a share of one of the two steps of a branch: of its inner columns, or of its blocks of outputs."""
    change = numba.carray(as_pointer(change_address), COLUMNS, np.int64)
    if is_outer != 0:
        _add_outer(change, inner, rows, target, target_stride, sums, first, last)
    else:
        _compute_inner(change, source, source_stride, rows, inner, first, last)


@parallel_jit
def _compute_parallel(
    function, change, is_outer, source, source_stride, rows, inner, target, target_stride, sums, units, threads
):
    for thread in numba.prange(threads):
        first, last = units * thread // threads, units * (thread + 1) // threads
        own_sums = sums + 4 * TILE_OUTPUTS * _GROUP_ROWS * thread
        call(
            function,
            (change, is_outer, source, source_stride, rows, inner, target, target_stride, own_sums, first, last),
        )


@jit
def _add_branch(address, change, source, source_stride, rows, target, target_stride, threads, scratch):
    """Add ``up(f(down(source)))`` to ``target``, which can be ``source``. ``change`` are the numbers at ``address``."""
    rank, blocks = change[RANK], (change[OUTPUTS] + TILE_OUTPUTS - 1) // TILE_OUTPUTS
    sums, function = scratch + 4 * rank * rows, change[FUNCTION]
    is_parallel = threads > 1 and rows * rank * (change[INPUTS] + change[OUTPUTS]) >= MIN_PARALLEL_PRODUCTS
    for is_outer in range(2):
        units = blocks if is_outer else rank
        if is_parallel:
            _compute_parallel(
                function, address, is_outer, source, source_stride, rows, scratch, target, target_stride, sums, units,
                threads,
            )  # fmt: skip
        else:
            call(
                function,
                (address, is_outer, source, source_stride, rows, scratch, target, target_stride, sums, 0, units),
            )


@jit
def _scale(change, rows, target, target_stride):
    """Multiply each of ``rows`` by the factors."""
    factors = numba.carray(as_pointer(change[FACTORS]), change[OUTPUTS], np.float32)
    for row in range(rows):
        values = numba.carray(as_pointer(target + target_stride * row), change[OUTPUTS], np.float32)
        for j in range(change[OUTPUTS]):
            values[j] *= factors[j]


@jit
def _copy(change, source, source_stride, rows):
    """Copy the input of a product to ``OWN_INPUT``."""
    count = change[INPUTS]
    for row in range(rows):
        values = numba.carray(as_pointer(source + source_stride * row), count, np.float32)
        copies = numba.carray(as_pointer(change[OWN_INPUT] + 4 * count * row), count, np.float32)
        for j in range(count):
            copies[j] = values[j]


@jit
def _change_product(changes, is_before, x, x_stride, rows, out, out_stride, threads, scratch):
    """Apply those of ``changes`` [PARTS, COLUMNS] that come before the product ``x`` -> ``out``, or those after it.

    Changes before it are made to ``x`` in place, or to a copy of it. ``scratch`` has ``scratch_floats`` float32.
    """
    for part in range(PARTS):
        address = changes + 8 * COLUMNS * part
        change = numba.carray(as_pointer(address), COLUMNS, np.int64)
        position = change[POSITION]
        if position == Position.NONE.value or (position == Position.INPUT.value) != (is_before != 0):
            continue
        own_out = out + 4 * change[FIRST_OUTPUT]
        target, target_stride = (x, x_stride) if is_before else (own_out, out_stride)
        if change[OWN_INPUT] != 0:
            _copy(change, x, x_stride, rows)
            target, target_stride = change[OWN_INPUT], 4 * change[INPUTS]
        if change[FACTORS] != 0:
            _scale(change, rows, target, target_stride)
        elif position == Position.OUTPUT.value:
            _add_branch(address, change, own_out, out_stride, rows, target, target_stride, threads, scratch)
        else:
            _add_branch(address, change, x, x_stride, rows, target, target_stride, threads, scratch)


@functools.cache
def compute_share_address() -> int:
    """The address of ``_compute_share``, whose one copy is called on one thread and on several."""
    return address_of(_compute_share, types.void(*[types.int64] * 11))


@functools.cache
def change_product_address() -> int:
    """The address of ``_change_product``, which is compiled now if it is not in the cache."""
    return address_of(_change_product, types.void(*[types.int64] * 9))


def scratch_floats(rank: int, rows: int, threads: int) -> int:
    """The float32 of scratch memory that changes of this rank, or a lower one, need for so many rows."""
    return rank * rows + TILE_OUTPUTS * _GROUP_ROWS * threads
