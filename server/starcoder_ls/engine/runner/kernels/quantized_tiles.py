"""The innermost loops for weights of 8 and 4 bits, in LLVM IR: products of integers, summed exactly.

An activation is quantized to 16 bits: the products of a group of 64 inputs are summed as int32, whatever the order and
the instructions, and one multiplication by the scales of activations and weights makes the sum a float32.
"""

from __future__ import annotations

from typing import Any

import llvmlite.binding
import numba
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from starcoder_ls.engine.runner.kernels.tiles import (
    FLOAT,
    INT64,
    TILE_OUTPUTS,
    VECTOR,
    VECTOR_LANES,
    accumulators,
    broadcast,
    fold_lanes,
    load_vector,
    multiply_add,
    offset,
    store_rows,
)

GROUP_INPUTS = 64
"""Inputs that share a scale, of weights and of activations."""

GROUP_BYTES = 2 * GROUP_INPUTS + 8
"""Of a group of quantized activations: int16 [64], then their scale and their sum as float32."""

MAX_QUANTIZED = 32767.0

_BLOCKS = TILE_OUTPUTS // VECTOR_LANES
_INT16, _INT32 = ir.IntType(16), ir.IntType(32)
_PAIRS = ir.VectorType(_INT16, 2 * VECTOR_LANES)
"""Two inputs of each of 16 outputs."""
_SUMS = ir.VectorType(_INT32, VECTOR_LANES)
_ROUNDING = 12582912.0
"""1.5 * 2^23: a float32 below 2^22 added to it has its nearest integer in its last bits."""


def _host_features() -> frozenset[str]:
    """The instructions that numba compiles for; none if the user names another processor."""
    if numba.config.CPU_NAME or numba.config.CPU_FEATURES:
        return frozenset()
    return frozenset(name for name, has in llvmlite.binding.get_host_cpu_features().items() if has)


_FEATURES = _host_features()


def _integers(value: int, vector: Any) -> Any:
    return ir.Constant(vector, [value] * vector.count)


def _load_8_bits(builder: Any, address: Any) -> list[Any]:
    """int8 [64 outputs, 2 inputs] -> four vectors of int16 [16, 2]."""
    size = 2 * VECTOR_LANES
    vector = ir.VectorType(ir.IntType(8), size).as_pointer()
    loaded = [
        builder.load(builder.inttoptr(offset(builder, address, size * block), vector), align=1)
        for block in range(_BLOCKS)
    ]
    return [builder.sext(weights, _PAIRS) for weights in loaded]


def _load_4_bits(builder: Any, address: Any) -> list[Any]:
    """uint16 [32], each with a weight of every vector in 4 bits -> four vectors of int16 [16, 2]."""
    packed = builder.load(builder.inttoptr(address, _PAIRS.as_pointer()), align=1)
    shifted = [builder.lshr(packed, _integers(4 * block, _PAIRS)) for block in range(_BLOCKS)]
    return [*(builder.and_(weights, _integers(15, _PAIRS)) for weights in shifted[:-1]), shifted[-1]]


def _add_pairs(builder: Any, total: Any, left: Any, right: Any) -> Any:
    """``total`` [16] plus ``left[i, 0] * right[i, 0] + left[i, 1] * right[i, 1]``."""
    if "avx512bw" in _FEATURES:
        function = _declare(builder, "llvm.x86.avx512.pmaddw.d.512", _SUMS, _PAIRS)
        return builder.add(total, builder.call(function, [left, right]))
    if "avx2" in _FEATURES:
        return builder.add(total, _add_pairs_avx2(builder, left, right))
    words, shift = [builder.bitcast(vector, _SUMS) for vector in (left, right)], _integers(16, _SUMS)
    low = builder.mul(*[builder.ashr(builder.shl(word, shift), shift) for word in words])
    high = builder.mul(*[builder.ashr(word, shift) for word in words])
    return builder.add(total, builder.add(low, high))


def _add_pairs_avx2(builder: Any, left: Any, right: Any) -> Any:
    half = VECTOR_LANES // 2
    function = _declare(builder, "llvm.x86.avx2.pmadd.wd", ir.VectorType(_INT32, half), ir.VectorType(_INT16, 2 * half))
    halves = []
    for first in (0, 2 * half):
        lanes = ir.Constant(ir.VectorType(_INT32, 2 * half), list(range(first, first + 2 * half)))
        halves.append(
            builder.call(function, [builder.shuffle_vector(vector, vector, lanes) for vector in (left, right)])
        )
    return builder.shuffle_vector(*halves, ir.Constant(_SUMS, list(range(VECTOR_LANES))))


def _declare(builder: Any, name: str, result: Any, argument: Any) -> Any:
    """An intrinsic of LLVM that takes two vectors."""
    return cgutils.get_or_insert_function(builder.module, ir.FunctionType(result, [argument, argument]), name)


def _broadcast_pair(builder: Any, address: Any) -> Any:
    """Load two int16 into all outputs: [16, 2]."""
    pair = builder.load(builder.inttoptr(address, _INT32.as_pointer()), align=4)
    vector = builder.insert_element(ir.Constant(_SUMS, ir.Undefined), pair, ir.Constant(_INT32, 0))
    return builder.bitcast(builder.shuffle_vector(vector, vector, _integers(0, _SUMS)), _PAIRS)


def quantized_tile(rows: int, bits: int) -> Any:
    """Return a function that computes ``out[row, :64] = bias + x[row] @ weights`` for ``rows`` rows.

    Arguments, addresses and numbers: weights [groups, 32, 64 outputs, 2 inputs] of 8 bits, or of 4 bits as in
    ``_load_4_bits``; scales [groups, 64] float32, or with 4 bits [groups, 2, 64] float16 of scales and minima; bias
    [64] float32, x [rows, groups] as in ``quantize_group``, bytes between rows of x, groups, out [rows, 64] float32,
    bytes between rows of out.
    """

    @intrinsic
    def tile(_context: Any, weights: Any, scales: Any, bias: Any, x: Any, x_stride: Any, groups: Any, out: Any,
             out_stride: Any) -> Any:  # fmt: skip
        def codegen(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
            weights, scales, bias, x, x_stride, groups, out, out_stride = arguments
            initial = [
                load_vector(builder, offset(builder, bias, 4 * VECTOR_LANES * block), FLOAT, 4)
                for block in range(_BLOCKS)
            ]
            totals = accumulators(builder, _BLOCKS, rows, initial)
            strides = [builder.mul(x_stride, ir.Constant(INT64, row)) for row in range(rows)]
            with cgutils.for_range(builder, groups, intp=INT64) as loop:
                group_x = builder.add(x, builder.mul(loop.index, ir.Constant(INT64, GROUP_BYTES)))
                group_rows = [builder.add(group_x, stride) for stride in strides]
                weights_bytes = GROUP_INPUTS * TILE_OUTPUTS * bits // 8
                group_weights = builder.add(weights, builder.mul(loop.index, ir.Constant(INT64, weights_bytes)))
                sums = _sum_group(builder, group_weights, group_rows, bits)
                group_scales = builder.add(
                    scales, builder.mul(loop.index, ir.Constant(INT64, 4 * TILE_OUTPUTS))
                )  # 64 float32, or twice 64 float16
                _add_scaled(builder, totals, sums, group_scales, group_rows, bits)
            store_rows(builder, totals, out, out_stride)
            return context.get_dummy_value()

        return types.void(*[types.int64] * 8), codegen

    return tile


def _sum_group(builder: Any, weights: Any, rows: list[Any], bits: int) -> list[list[Any]]:
    """Sums of products of one group: vectors of int32 [blocks][rows]."""
    load, line_bytes = (_load_8_bits, 2 * TILE_OUTPUTS) if bits == 8 else (_load_4_bits, TILE_OUTPUTS)
    zero = ir.Constant(_SUMS, [0] * VECTOR_LANES)
    sums = [[cgutils.alloca_once_value(builder, zero) for _ in rows] for _ in range(_BLOCKS)]
    for total in (total for block in sums for total in block):
        builder.store(zero, total)
    with cgutils.for_range(builder, ir.Constant(INT64, GROUP_INPUTS // 2), intp=INT64) as loop:
        vectors = load(builder, builder.add(weights, builder.mul(loop.index, ir.Constant(INT64, line_bytes))))
        pair_offset = builder.mul(loop.index, ir.Constant(INT64, 4))
        for number, row in enumerate(rows):
            pair = _broadcast_pair(builder, builder.add(row, pair_offset))
            for block, vector in zip(sums, vectors, strict=True):
                builder.store(_add_pairs(builder, builder.load(block[number]), vector, pair), block[number])
    return [[builder.load(total) for total in block] for block in sums]


def _add_scaled(
    builder: Any, totals: list[list[Any]], sums: list[list[Any]], scales: Any, rows: list[Any], bits: int
) -> None:
    """Add the sums of a group, times both scales; with 4 bits also the minima times the sums of the activations."""
    element, size = (FLOAT, 4) if bits == 8 else (ir.HalfType(), 2)

    def load(number: int) -> Any:
        vector = load_vector(builder, offset(builder, scales, size * VECTOR_LANES * number), element, size)
        return vector if bits == 8 else builder.fpext(vector, VECTOR)

    weight_scales = [load(block) for block in range(_BLOCKS)]
    minima = [] if bits == 8 else [load(_BLOCKS + block) for block in range(_BLOCKS)]
    for number, row in enumerate(rows):
        scale = broadcast(builder, offset(builder, row, 2 * GROUP_INPUTS))
        activation_sum = None if bits == 8 else broadcast(builder, offset(builder, row, 2 * GROUP_INPUTS + 4))
        for block in range(_BLOCKS):
            scaled = builder.fmul(builder.sitofp(sums[block][number], VECTOR), scale)
            total = multiply_add(builder, builder.load(totals[block][number]), scaled, weight_scales[block])
            if activation_sum is not None:
                total = multiply_add(builder, total, minima[block], activation_sum)
            builder.store(total, totals[block][number])


@intrinsic
def quantize_group(_context: Any, x: Any, out: Any) -> Any:
    """Quantize 64 float32 to int16 with their scale and the sum of the quantized numbers times the scale.

    Addresses. The largest becomes 32767. If a number is not finite, scale and sum are NaN.
    """

    def codegen(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        x, out = arguments
        vectors = [
            load_vector(builder, offset(builder, x, 4 * VECTOR_LANES * number), FLOAT, 4)
            for number in range(GROUP_INPUTS // VECTOR_LANES)
        ]
        largest, is_finite = _largest(builder, vectors)
        factor = builder.fdiv(ir.Constant(FLOAT, MAX_QUANTIZED), largest)
        factor = builder.select(
            builder.fcmp_ordered(">", largest, ir.Constant(FLOAT, 1e-30)), factor, ir.Constant(FLOAT, 0.0)
        )
        scale = builder.fdiv(largest, ir.Constant(FLOAT, MAX_QUANTIZED))
        scale = builder.select(is_finite, scale, ir.Constant(FLOAT, float("nan")))
        total = _quantize_vectors(builder, vectors, factor, out)
        for position, value in ((0, scale), (4, builder.fmul(builder.sitofp(total, FLOAT), scale))):
            target = offset(builder, out, 2 * GROUP_INPUTS + position)
            builder.store(value, builder.inttoptr(target, FLOAT.as_pointer()), align=4)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), codegen


def _largest(builder: Any, vectors: list[Any]) -> tuple[Any, Any]:
    """The largest magnitude, and whether all numbers are finite."""
    integers = ir.VectorType(_INT32, VECTOR_LANES)
    # As integers: the bits of magnitudes are in the order of the magnitudes, those of infinity and NaN above all.
    magnitudes = [
        builder.and_(builder.bitcast(vector, integers), _integers(0x7FFFFFFF, integers)) for vector in vectors
    ]

    def larger(left: Any, right: Any) -> Any:
        return builder.select(builder.icmp_signed(">", left, right), left, right)

    largest = magnitudes[0]
    for magnitude in magnitudes[1:]:
        largest = larger(largest, magnitude)
    bits = fold_lanes(builder, largest, larger)
    return builder.bitcast(bits, FLOAT), builder.icmp_signed("<", bits, ir.Constant(_INT32, 0x7F800000))


def _quantize_vectors(builder: Any, vectors: list[Any], factor: Any, out: Any) -> Any:
    """Write the nearest integers of ``vectors`` times ``factor`` as int16; their sum, an int32."""
    undefined, lanes = ir.Constant(VECTOR, ir.Undefined), _integers(0, _SUMS)
    factors = builder.shuffle_vector(
        builder.insert_element(undefined, factor, ir.Constant(_INT32, 0)), undefined, lanes
    )
    rounding = ir.Constant(VECTOR, [_ROUNDING] * VECTOR_LANES)
    total = ir.Constant(_SUMS, [0] * VECTOR_LANES)
    for number, vector in enumerate(vectors):
        rounded = builder.bitcast(builder.fadd(builder.fmul(vector, factors), rounding), _SUMS)
        integers = builder.sub(rounded, builder.bitcast(rounding, _SUMS))
        total = builder.add(total, integers)
        narrow = ir.VectorType(_INT16, VECTOR_LANES)
        target = builder.inttoptr(offset(builder, out, 2 * VECTOR_LANES * number), narrow.as_pointer())
        builder.store(builder.trunc(integers, narrow), target, align=2)
    return fold_lanes(builder, total, builder.add)
