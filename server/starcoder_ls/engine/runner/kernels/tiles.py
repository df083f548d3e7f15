"""The innermost loops, written as vectors of 16 float32 in LLVM's language: products of few rows with many weights.

Decides in which order a sum is made: over the weights of a row from first to last, whatever else is computed with it,
so that a token is the same alone and among others, bit by bit. Refuses to know layers.
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
"""Outputs of one tile. Packed weights are [outputs / 64, inputs, 64]: one stream of memory, from front to back."""

FLOAT16, BFLOAT16, INT8, FLOAT32 = (np.empty(0, kind) for kind in (np.uint16, np.int16, np.int8, np.float32))
"""Kinds of numbers, as arguments that a compiler can tell apart: numpy has no bfloat16, and numba no float16."""

_FLOAT, _INT32, _INT64 = ir.FloatType(), ir.IntType(32), ir.IntType(64)
_VECTOR = ir.VectorType(_FLOAT, VECTOR_LANES)
_INTS = ir.VectorType(_INT32, VECTOR_LANES)
_MAY_FUSE = ("contract",)


def _at(builder: Any, address: Any, offset: int) -> Any:
    return builder.add(address, ir.Constant(_INT64, offset))


def _loaded(builder: Any, address: Any, kind: Any) -> Any:
    """16 numbers of ``kind`` from memory, as float32. uint16 stands for float16, int16 for bfloat16."""
    if kind == types.float32:
        return _raw(builder, address, _FLOAT, 4)
    if kind == types.uint16:
        return builder.fpext(_raw(builder, address, ir.HalfType(), 2), _VECTOR)
    if kind == types.int16:
        bits = builder.zext(_raw(builder, address, ir.IntType(16), 2), _INTS)
        return builder.bitcast(builder.shl(bits, ir.Constant(_INTS, [16] * VECTOR_LANES)), _VECTOR)
    assert kind == types.int8, kind
    return builder.sitofp(builder.sext(_raw(builder, address, ir.IntType(8), 1), _INTS), _VECTOR)


def _raw(builder: Any, address: Any, element: Any, align: int) -> Any:
    return builder.load(builder.inttoptr(address, ir.VectorType(element, VECTOR_LANES).as_pointer()), align=align)


def _repeated(builder: Any, address: Any) -> Any:
    """One float32 from memory in all lanes."""
    nothing = ir.Constant(_VECTOR, ir.Undefined)
    one = builder.insert_element(nothing, builder.load(builder.inttoptr(address, _FLOAT.as_pointer())), _lane(0))
    return builder.shuffle_vector(one, nothing, ir.Constant(_INTS, [0] * VECTOR_LANES))


def _lane(number: int) -> Any:
    return ir.Constant(_INT32, number)


def _added(builder: Any, total: Any, left: Any, right: Any) -> Any:
    return builder.fadd(total, builder.fmul(left, right, flags=_MAY_FUSE), flags=_MAY_FUSE)


def _accumulators(builder: Any, outer: int, inner: int, first: Any = None) -> list[list[Any]]:
    zero = ir.Constant(_VECTOR, [0.0] * VECTOR_LANES)
    return [
        [cgutils.alloca_once_value(builder, zero if first is None else first[one]) for _ in range(inner)]
        for one in range(outer)
    ]


def matmul_tile(rows: int) -> Any:
    """``out[t, :64] = bias + x[t] @ w`` for each of ``rows`` t; ``w`` [inputs, 64], an input's ``stride`` bytes apart.

    Arguments: an empty array of the weights' kind, then addresses and numbers: w, stride, bias, x, bytes between rows
    of x, inputs, out, bytes between rows of out. Bias, x and out are float32.
    """
    blocks = TILE_OUTPUTS // VECTOR_LANES

    @intrinsic
    def tile(
        _context: Any, kind: Any, w: Any, stride: Any, bias: Any, x: Any, x_row: Any, k: Any, o: Any, o_row: Any
    ) -> Any:
        element = kind.dtype

        def codegen(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
            _, w, stride, bias, x, x_row, k, o, o_row = arguments
            first = [_raw(builder, _at(builder, bias, 4 * VECTOR_LANES * block), _FLOAT, 4) for block in range(blocks)]
            sums = _accumulators(builder, blocks, rows, first)
            _multiply(builder, sums, element, (w, stride, x, x_row), ir.Constant(_INT64, 0), k)
            _store(builder, sums, o, o_row)
            return context.get_dummy_value()

        return types.void(kind, *[types.int64] * 8), codegen

    return tile


def scaled_matmul_tile(rows: int) -> Any:
    """``matmul_tile`` with weights of 8 bits: each ``group`` of inputs has a scale per output, [groups, 64] float32.

    Two arguments more, at the end: the address of the scales, and ``group``.
    """
    blocks = TILE_OUTPUTS // VECTOR_LANES

    @intrinsic
    def tile(_context: Any, kind: Any, w: Any, stride: Any, bias: Any, x: Any, x_row: Any, k: Any, o: Any, o_row: Any,
             scales: Any, group: Any) -> Any:  # fmt: skip
        element = kind.dtype

        def codegen(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
            _, w, stride, bias, x, x_row, k, o, o_row, scales, group = arguments
            first = [_raw(builder, _at(builder, bias, 4 * VECTOR_LANES * block), _FLOAT, 4) for block in range(blocks)]
            totals = _accumulators(builder, blocks, rows, first)
            sums = _accumulators(builder, blocks, rows)
            zero = ir.Constant(_VECTOR, [0.0] * VECTOR_LANES)
            with cgutils.for_range_slice(builder, ir.Constant(_INT64, 0), k, group, _INT64) as (start, number):
                for row in (one for block in sums for one in block):
                    builder.store(zero, row)
                end = builder.add(start, group)
                end = builder.select(builder.icmp_signed("<", end, k), end, k)
                _multiply(builder, sums, element, (w, stride, x, x_row), start, end)
                at = builder.add(scales, builder.mul(number, ir.Constant(_INT64, 4 * TILE_OUTPUTS)))
                for block in range(blocks):
                    scale = _raw(builder, _at(builder, at, 4 * VECTOR_LANES * block), _FLOAT, 4)
                    for total, part in zip(totals[block], sums[block], strict=True):
                        builder.store(_added(builder, builder.load(total), builder.load(part), scale), total)
            _store(builder, totals, o, o_row)
            return context.get_dummy_value()

        return types.void(kind, *[types.int64] * 10), codegen

    return tile


def _multiply(
    builder: Any, sums: list[list[Any]], kind: Any, places: tuple[Any, Any, Any, Any], start: Any, end: Any
) -> None:
    """Add the products of the inputs from ``start`` to before ``end`` to ``sums``, [blocks][rows]."""
    w, stride, x, x_row = places
    rows = [builder.add(x, builder.mul(x_row, ir.Constant(_INT64, row))) for row in range(len(sums[0]))]
    with cgutils.for_range(builder, builder.sub(end, start), intp=_INT64) as loop:
        at = builder.add(loop.index, start)
        line = builder.add(w, builder.mul(at, stride))
        size = kind.bitwidth // 8
        weights = [
            _loaded(builder, _at(builder, line, VECTOR_LANES * size * block), kind) for block in range(len(sums))
        ]
        for number, row in enumerate(rows):
            value = _repeated(builder, builder.add(row, builder.mul(at, ir.Constant(_INT64, 4))))
            for block, weight in zip(sums, weights, strict=True):
                builder.store(_added(builder, builder.load(block[number]), weight, value), block[number])


def _store(builder: Any, sums: list[list[Any]], out: Any, out_row: Any) -> None:
    for number in range(len(sums[0])):
        row = builder.add(out, builder.mul(out_row, ir.Constant(_INT64, number)))
        for block, found in enumerate(sums):
            place = builder.inttoptr(_at(builder, row, 4 * VECTOR_LANES * block), _VECTOR.as_pointer())
            builder.store(builder.load(found[number]), place, align=4)


def dot_tile(queries: int, keys: int) -> Any:
    """``out[q, k] = queries[q] . keys[k]`` over ``dim`` numbers, a multiple of 16; both float32, rows ``dim`` apart.

    Arguments: addresses and numbers: queries, keys, dim, out, bytes between rows of out.
    """

    @intrinsic
    def tile(_context: Any, q: Any, k: Any, dim: Any, o: Any, o_row: Any) -> Any:
        def codegen(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
            q, k, dim, o, o_row = arguments
            sums = _accumulators(builder, queries, keys)
            row = builder.mul(dim, ir.Constant(_INT64, 4))
            starts = [
                [builder.add(base, builder.mul(row, ir.Constant(_INT64, number))) for number in range(count)]
                for base, count in ((q, queries), (k, keys))
            ]
            zero, lanes = ir.Constant(_INT64, 0), ir.Constant(_INT64, VECTOR_LANES)
            with cgutils.for_range_slice(builder, zero, dim, lanes, _INT64) as (at, _number):
                skip = builder.mul(at, ir.Constant(_INT64, 4))
                left, right = [
                    [_raw(builder, builder.add(start, skip), _FLOAT, 4) for start in several] for several in starts
                ]
                for i, one in enumerate(left):
                    for j, other in enumerate(right):
                        builder.store(_added(builder, builder.load(sums[i][j]), one, other), sums[i][j])
            for i in range(queries):
                line = builder.add(o, builder.mul(o_row, ir.Constant(_INT64, i)))
                for j in range(keys):
                    place = builder.inttoptr(_at(builder, line, 4 * j), _FLOAT.as_pointer())
                    builder.store(_total(builder, builder.load(sums[i][j])), place)
            return context.get_dummy_value()

        return types.void(*[types.int64] * 5), codegen

    return tile


def _total(builder: Any, vector: Any) -> Any:
    """The sum of all lanes, by halves."""
    lanes = VECTOR_LANES
    while lanes > 1:
        lanes //= 2
        low, high = (ir.Constant(ir.VectorType(_INT32, lanes), list(range(at, at + lanes))) for at in (0, lanes))
        vector = builder.fadd(builder.shuffle_vector(vector, vector, low), builder.shuffle_vector(vector, vector, high))
    return builder.extract_element(vector, _lane(0))


@intrinsic
def as_pointer(_context: Any, address: Any) -> Any:
    """An address as what ``numba.carray`` takes."""

    def codegen(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], cgutils.voidptr_t)

    return types.voidptr(types.int64), codegen


@intrinsic
def bits_to_float(_context: Any, bits: Any) -> Any:
    """The float32 of these 32 bits."""

    def codegen(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], _FLOAT)

    return types.float32(types.int32), codegen


@intrinsic
def load_as_float32(_context: Any, kind: Any, address: Any) -> Any:
    """One number of the kind of the empty array ``kind``, as float32."""
    element = kind.dtype

    def codegen(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        def raw(type_: Any) -> Any:
            return builder.load(builder.inttoptr(arguments[1], type_.as_pointer()))

        if element == types.float32:
            return raw(_FLOAT)
        if element == types.uint16:
            return builder.fpext(raw(ir.HalfType()), _FLOAT)
        return builder.bitcast(builder.shl(builder.zext(raw(ir.IntType(16)), _INT32), _lane(16)), _FLOAT)

    return types.float32(kind, types.int64), codegen
