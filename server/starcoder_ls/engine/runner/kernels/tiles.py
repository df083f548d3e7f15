"""The innermost loops, written in LLVM IR as vectors of 16 float32: products of a few rows with many weights.

Decides the order of every sum: over the inputs of a row from first to last, whatever other rows are computed with it,
so that a token's result is the same bit by bit alone and among others.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

VECTOR_LANES = 16
TILE_OUTPUTS = 64
"""Outputs of one tile. Packed weights are [outputs / 64, inputs, 64]: one stream of memory, read from front to back."""

FLOAT16, BFLOAT16, FLOAT32 = (np.empty(0, dtype) for dtype in (np.uint16, np.int16, np.float32))
"""Type tags of weights: arguments by whose types numba selects code. numpy has no bfloat16 and numba no float16."""

FLOAT, _INT32, INT64 = ir.FloatType(), ir.IntType(32), ir.IntType(64)
VECTOR = ir.VectorType(FLOAT, VECTOR_LANES)
INT32_VECTOR = ir.VectorType(_INT32, VECTOR_LANES)
_FMA_FLAGS = ("contract",)
"""Allows a multiplication and an addition to become one fused instruction, and nothing else."""


def offset(builder: Any, address: Any, count: int) -> Any:
    """``address`` plus ``count`` bytes."""
    return builder.add(address, ir.Constant(INT64, count))


def _load_weights(builder: Any, address: Any, dtype: Any) -> Any:
    """Load 16 weights as float32. uint16 stands for float16, int16 for bfloat16."""
    if dtype == types.float32:
        return load_vector(builder, address, FLOAT, 4)
    if dtype == types.uint16:
        return builder.fpext(load_vector(builder, address, ir.HalfType(), 2), VECTOR)
    assert dtype == types.int16, dtype
    bits = builder.zext(load_vector(builder, address, ir.IntType(16), 2), INT32_VECTOR)
    return builder.bitcast(builder.shl(bits, ir.Constant(INT32_VECTOR, [16] * VECTOR_LANES)), VECTOR)


def load_vector(builder: Any, address: Any, element: Any, align: int) -> Any:
    """Load 16 numbers of the LLVM type ``element``, whose address is a multiple of ``align``."""
    return builder.load(builder.inttoptr(address, ir.VectorType(element, VECTOR_LANES).as_pointer()), align=align)


def broadcast(builder: Any, address: Any) -> Any:
    """Load one float32 into all lanes."""
    return fill_lanes(builder, builder.load(builder.inttoptr(address, FLOAT.as_pointer())))


def fill_lanes(builder: Any, value: Any) -> Any:
    """Return a vector of 16 times ``value``."""
    undefined = ir.Constant(ir.VectorType(value.type, VECTOR_LANES), ir.Undefined)
    vector = builder.insert_element(undefined, value, _lane(0))
    return builder.shuffle_vector(vector, undefined, ir.Constant(INT32_VECTOR, [0] * VECTOR_LANES))


def _lane(number: int) -> Any:
    return ir.Constant(_INT32, number)


def multiply_add(builder: Any, total: Any, left: Any, right: Any) -> Any:
    """Return ``total + left * right``, fused."""
    return builder.fadd(total, builder.fmul(left, right, flags=_FMA_FLAGS), flags=_FMA_FLAGS)


def accumulators(builder: Any, outer: int, inner: int, initial: Any = None) -> list[list[Any]]:
    """Allocate vectors [outer][inner] that are zero or ``initial`` [outer]."""
    zero = ir.Constant(VECTOR, [0.0] * VECTOR_LANES)
    return [
        [cgutils.alloca_once_value(builder, zero if initial is None else initial[i]) for _ in range(inner)]
        for i in range(outer)
    ]


def matmul_tile(rows: int) -> Any:
    """Return a function that computes ``out[row, :64] = bias + x[row] @ weights`` for ``rows`` rows.

    Arguments: the type tag of the weights, then addresses and numbers: weights [inputs, 64], bytes between inputs of
    the weights, bias [64], x [rows, inputs], bytes between rows of x, inputs, out [rows, 64], bytes between rows of
    out. Bias, x and out are float32.
    """
    blocks = TILE_OUTPUTS // VECTOR_LANES

    @intrinsic
    def tile(_context: Any, type_tag: Any, weights: Any, stride: Any, bias: Any, x: Any, x_stride: Any, inputs: Any,
             out: Any, out_stride: Any) -> Any:  # fmt: skip
        dtype = type_tag.dtype

        def codegen(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
            _, weights, stride, bias, x, x_stride, inputs, out, out_stride = arguments
            initial = [
                load_vector(builder, offset(builder, bias, 4 * VECTOR_LANES * block), FLOAT, 4)
                for block in range(blocks)
            ]
            sums = accumulators(builder, blocks, rows, initial)
            _accumulate(builder, sums, dtype, (weights, stride, x, x_stride), ir.Constant(INT64, 0), inputs)
            store_rows(builder, sums, out, out_stride)
            return context.get_dummy_value()

        return types.void(type_tag, *[types.int64] * 8), codegen

    return tile


def _accumulate(
    builder: Any, sums: list[list[Any]], dtype: Any, operands: tuple[Any, Any, Any, Any], start: Any, end: Any
) -> None:
    """Add the products of inputs ``start`` to before ``end`` to ``sums`` [blocks][rows], one input after another."""
    weights, stride, x, x_stride = operands
    rows = [builder.add(x, builder.mul(x_stride, ir.Constant(INT64, row))) for row in range(len(sums[0]))]
    with cgutils.for_range(builder, builder.sub(end, start), intp=INT64) as loop:
        position = builder.add(loop.index, start)
        line = builder.add(weights, builder.mul(position, stride))
        size = dtype.bitwidth // 8
        vectors = [
            _load_weights(builder, offset(builder, line, VECTOR_LANES * size * block), dtype)
            for block in range(len(sums))
        ]
        for number, row in enumerate(rows):
            value = broadcast(builder, builder.add(row, builder.mul(position, ir.Constant(INT64, 4))))
            for block, vector in zip(sums, vectors, strict=True):
                builder.store(multiply_add(builder, builder.load(block[number]), vector, value), block[number])


def store_rows(builder: Any, sums: list[list[Any]], out: Any, out_stride: Any) -> None:
    for number in range(len(sums[0])):
        row = builder.add(out, builder.mul(out_stride, ir.Constant(INT64, number)))
        for block, block_sums in enumerate(sums):
            target = builder.inttoptr(offset(builder, row, 4 * VECTOR_LANES * block), VECTOR.as_pointer())
            builder.store(builder.load(block_sums[number]), target, align=4)


def dot_tile(queries: int, keys: int) -> Any:
    """Return a function that computes ``out[i, j] = query[i] . key[j]`` over ``dim`` numbers, a multiple of 16.

    Arguments: addresses and numbers: query [queries, dim], bytes between its rows, key [keys, dim], dim,
    out [queries, keys], bytes between its rows. All are float32. Each lane sums its own products; the lanes are then
    added by halves. ``queries`` times ``keys`` is a power of 2, at most 16.
    """

    @intrinsic
    def tile(_context: Any, query: Any, query_stride: Any, key: Any, dim: Any, out: Any, out_stride: Any) -> Any:
        def codegen(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
            query, query_stride, key, dim, out, out_stride = arguments
            sums = accumulators(builder, queries, keys)
            key_stride = builder.mul(dim, ir.Constant(INT64, 4))
            query_rows, key_rows = [
                [builder.add(base, builder.mul(stride, ir.Constant(INT64, number))) for number in range(count)]
                for base, stride, count in ((query, query_stride, queries), (key, key_stride, keys))
            ]
            zero, lanes = ir.Constant(INT64, 0), ir.Constant(INT64, VECTOR_LANES)
            with cgutils.for_range_slice(builder, zero, dim, lanes, INT64) as (element, _number):
                step = builder.mul(element, ir.Constant(INT64, 4))
                left, right = [
                    [load_vector(builder, builder.add(row, step), FLOAT, 4) for row in rows]
                    for rows in (query_rows, key_rows)
                ]
                for i, query_vector in enumerate(left):
                    for j, key_vector in enumerate(right):
                        total = multiply_add(builder, builder.load(sums[i][j]), query_vector, key_vector)
                        builder.store(total, sums[i][j])
            products = fold_vectors(builder, [builder.load(total) for row in sums for total in row])
            row_type = ir.VectorType(FLOAT, keys)
            for i in range(queries):
                line = builder.add(out, builder.mul(out_stride, ir.Constant(INT64, i)))
                lanes_of_row = ir.Constant(ir.VectorType(_INT32, keys), list(range(keys * i, keys * (i + 1))))
                row = builder.shuffle_vector(products, products, lanes_of_row)
                builder.store(row, builder.inttoptr(line, row_type.as_pointer()), align=4)
            return context.get_dummy_value()

        return types.void(*[types.int64] * 6), codegen

    return tile


def fold_lanes(builder: Any, vector: Any, combine: Any) -> Any:
    """Return the lanes combined to one: the upper half with the lower one until one lane is left."""
    lanes = VECTOR_LANES
    while lanes > 1:
        lanes //= 2
        low, high = (
            ir.Constant(ir.VectorType(_INT32, lanes), list(range(first, first + lanes))) for first in (0, lanes)
        )
        vector = combine(builder.shuffle_vector(vector, vector, low), builder.shuffle_vector(vector, vector, high))
    return builder.extract_element(vector, _lane(0))


def fold_vectors(builder: Any, vectors: list[Any]) -> Any:
    """Return a vector that begins with the sum of the lanes of each of ``vectors``: 1, 2, 4, 8 or 16 of them.

    The lanes are added in the order of ``fold_lanes``, with half the instructions for 16 vectors: each addition adds
    the halves of two vectors.
    """
    lanes = VECTOR_LANES
    while lanes > 1:
        pairs = [(vectors[0], vectors[0])] if len(vectors) == 1 else list(zip(vectors[::2], vectors[1::2], strict=True))
        vectors = [_add_halves(builder, left, right, lanes) for left, right in pairs]
        lanes //= 2
    return vectors[0]


def _add_halves(builder: Any, left: Any, right: Any, lanes: int) -> Any:
    """Add the upper half of each group of ``lanes`` lanes to its lower half: the groups of ``left``, then ``right``."""
    low, high = (
        [group + first + n for group in range(0, 2 * VECTOR_LANES, lanes) for n in range(lanes // 2)]
        for first in (0, lanes // 2)
    )
    halves = [builder.shuffle_vector(left, right, ir.Constant(INT32_VECTOR, indices)) for indices in (low, high)]
    return builder.fadd(*halves)


@intrinsic
def prefetch(_context: Any, address: Any) -> Any:
    """Ask the processor to bring the cache line at ``address`` into its caches. Any address is allowed."""

    def codegen(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        pointer = ir.IntType(8).as_pointer()
        function_type = ir.FunctionType(ir.VoidType(), [pointer, _INT32, _INT32, _INT32])
        function = cgutils.get_or_insert_function(builder.module, function_type, "llvm.prefetch.p0i8")
        is_written, locality, is_data = 0, 3, 1
        flags = [ir.Constant(_INT32, flag) for flag in (is_written, locality, is_data)]
        builder.call(function, [builder.inttoptr(arguments[0], pointer), *flags])
        return context.get_dummy_value()

    return types.void(types.int64), codegen


@intrinsic
def as_pointer(_context: Any, address: Any) -> Any:
    """Convert an address to the pointer that ``numba.carray`` takes."""

    def codegen(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], cgutils.voidptr_t)

    return types.voidptr(types.int64), codegen


@intrinsic
def bits_to_float(_context: Any, bits: Any) -> Any:
    """Reinterpret an int32 as a float32."""

    def codegen(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], FLOAT)

    return types.float32(types.int32), codegen


@intrinsic
def load_as_float32(_context: Any, type_tag: Any, address: Any) -> Any:
    """Load one number of the type of ``type_tag`` as float32."""
    dtype = type_tag.dtype

    def codegen(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        def load(type_: Any) -> Any:
            return builder.load(builder.inttoptr(arguments[1], type_.as_pointer()))

        if dtype == types.float32:
            return load(FLOAT)
        if dtype == types.uint16:
            return builder.fpext(load(ir.HalfType()), FLOAT)
        return builder.bitcast(builder.shl(builder.zext(load(ir.IntType(16)), _INT32), _lane(16)), FLOAT)

    return types.float32(type_tag, types.int64), codegen
