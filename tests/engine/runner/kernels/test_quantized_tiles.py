from __future__ import annotations

from typing import Any

import numba
import numpy as np
import pytest

from starcoder_ls.engine.runner import packed_linear

pytestmark = pytest.mark.skipif(not packed_linear.is_possible(), reason="no kernels of our own on this processor")

GROUPS, ROWS = 2, 2


def compute_tile(bits: int, rng: np.random.Generator) -> Any:
    """The outputs of two random rows and 64 outputs, compiled for the instructions that the module names now."""
    from starcoder_ls.engine.runner.kernels import quantized_tiles

    tile, quantize = quantized_tiles.quantized_tile(ROWS, bits), quantized_tiles.quantize_group
    row_bytes = GROUPS * quantized_tiles.GROUP_BYTES
    weights = rng.integers(-127, 128, GROUPS * 64 * 64 * bits // 8).astype(np.int8)
    scales = rng.random(GROUPS * 64).astype(np.float32) if bits == 8 else rng.random(GROUPS * 128).astype(np.float16)
    inputs, bias = rng.standard_normal(ROWS * GROUPS * 64).astype(np.float32), rng.random(64).astype(np.float32)
    quantized, outputs = np.zeros(ROWS * row_bytes, np.uint8), np.zeros((ROWS, 64), np.float32)

    @numba.njit
    def run(weights: int, scales: int, bias: int, inputs: int, quantized: int, outputs: int) -> None:
        for group in range(ROWS * GROUPS):
            quantize(inputs + 256 * group, quantized + row_bytes // GROUPS * group)
        tile(weights, scales, bias, quantized, row_bytes, GROUPS, outputs, 256)

    run(*(array.ctypes.data for array in (weights, scales, bias, inputs, quantized, outputs)))
    return outputs


@pytest.mark.parametrize("bits", [8, 4])
def test_tile_has_the_same_bits_with_any_instructions(bits: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of AVX-512, AVX2, and of any other processor; as many as this processor has."""
    from starcoder_ls.engine.runner.kernels import quantized_tiles

    features = quantized_tiles._FEATURES
    expected = compute_tile(bits, np.random.default_rng(1))
    assert np.abs(expected).max() > 1
    for instructions in (features & {"avx2"}, frozenset()):
        monkeypatch.setattr(quantized_tiles, "_FEATURES", instructions)
        assert np.array_equal(compute_tile(bits, np.random.default_rng(1)), expected)
