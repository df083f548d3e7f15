"""Sums and maxima of one row in LLVM IR, in an order that is written here and not chosen by the compiler.

A compiler that may reorder a sum does so differently in each function into which it inlines the loop, so that the
process that compiles a function and those that load it from the cache can compute different bits.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from starcoder_ls.engine.runner.kernels.tiles import (
    FLOAT,
    INT32_VECTOR,
    INT64,
    VECTOR,
    VECTOR_LANES,
    fill_lanes,
    fold_lanes,
    load_vector,
    multiply_add,
    offset,
)


def _reduce(builder: Any, arguments: Any, initial: Any, combine: Any) -> Any:
    """Combine the vectors of 16 of ``arguments`` (address, count) lane by lane: one vector."""
    address, count = arguments
    total = cgutils.alloca_once_value(builder, initial)
    zero, lanes = ir.Constant(INT64, 0), ir.Constant(INT64, VECTOR_LANES)
    with cgutils.for_range_slice(builder, zero, count, lanes, INT64) as (index, _number):
        vector = load_vector(builder, builder.add(address, builder.mul(index, ir.Constant(INT64, 4))), FLOAT, 4)
        builder.store(combine(builder.load(total), vector), total)
    return builder.load(total)


def _zeros() -> Any:
    return ir.Constant(VECTOR, [0.0] * VECTOR_LANES)


@intrinsic
def vector_sum(_context: Any, address: Any, count: Any) -> Any:
    """Sum ``count`` float32, a multiple of 16: each lane sums its own, then the lanes are added by halves."""

    def codegen(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return fold_lanes(builder, _reduce(builder, arguments, _zeros(), builder.fadd), builder.fadd)

    return types.float32(types.int64, types.int64), codegen


@intrinsic
def vector_square_sum(_context: Any, address: Any, count: Any) -> Any:
    """Sum the squares of ``count`` float32, a multiple of 16, in the order of ``vector_sum``."""

    def codegen(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        def add_square(total: Any, vector: Any) -> Any:
            return multiply_add(builder, total, vector, vector)

        return fold_lanes(builder, _reduce(builder, arguments, _zeros(), add_square), builder.fadd)

    return types.float32(types.int64, types.int64), codegen


@intrinsic
def vector_max(_context: Any, address: Any, count: Any) -> Any:
    """The largest of ``count`` float32, a positive multiple of 16."""

    def codegen(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        def larger(left: Any, right: Any) -> Any:
            return builder.select(builder.fcmp_ordered(">", left, right), left, right)

        first = load_vector(builder, arguments[0], FLOAT, 4)
        return fold_lanes(builder, _reduce(builder, arguments, first, larger), larger)

    return types.float32(types.int64, types.int64), codegen


@intrinsic
def has_pair(_context: Any, address: Any, count: Any, previous: Any, last: Any) -> Any:
    """Whether one of the ``count`` uint32 at ``address`` is ``last`` and the one before it is ``previous``.

    ``count`` is a multiple of 16. The number before the first is read too.
    """

    def codegen(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        address, count, previous, last = arguments
        previous, last = (fill_lanes(builder, value) for value in (previous, last))
        found = cgutils.alloca_once_value(builder, ir.Constant(INT32_VECTOR, [0] * VECTOR_LANES))
        zero, lanes = ir.Constant(INT64, 0), ir.Constant(INT64, VECTOR_LANES)
        with cgutils.for_range_slice(builder, zero, count, lanes, INT64) as (index, _number):
            here = builder.add(address, builder.mul(index, ir.Constant(INT64, 4)))
            lasts, previouses = (
                load_vector(builder, at, INT32_VECTOR.element, 4) for at in (here, offset(builder, here, -4))
            )
            pairs = builder.and_(
                builder.icmp_unsigned("==", lasts, last), builder.icmp_unsigned("==", previouses, previous)
            )
            builder.store(builder.or_(builder.load(found), builder.sext(pairs, INT32_VECTOR)), found)
        lanes_found = fold_lanes(builder, builder.load(found), builder.or_)
        return builder.icmp_unsigned("!=", lanes_found, ir.Constant(INT32_VECTOR.element, 0))

    return types.boolean(types.int64, types.int64, types.uint32, types.uint32), codegen
