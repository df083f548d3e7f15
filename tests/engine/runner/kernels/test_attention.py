"""Attention of one token by the kernels."""

from __future__ import annotations

import numpy as np
import pytest

from starcoder_ls.engine.runner import packed_linear

pytestmark = pytest.mark.skipif(not packed_linear.is_possible(), reason="no kernels of our own on this processor")

HEAD_DIM, HEADS, POSITIONS = 64, 2, 40


def attend(
    query: np.ndarray, keys: np.ndarray, values: np.ndarray, is_first: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """The output [heads, head_dim] and the weights [heads, positions]."""
    from starcoder_ls.engine.runner.kernels import attention

    weights = np.zeros((len(query), attention.padded(len(keys))), np.float32)
    out = np.zeros_like(query)
    query, keys, values = (np.ascontiguousarray(array, dtype=np.float32) for array in (query, keys, values))
    addresses = query.ctypes.data, keys.ctypes.data, values.ctypes.data
    attention.attend(
        *addresses, HEAD_DIM, len(query), len(keys), np.float32(HEAD_DIM**-0.5), weights.ctypes.data, out.ctypes.data,
        int(is_first),
    )  # fmt: skip
    return out, weights[:, : len(keys)]


@pytest.mark.parametrize("spread", [1.0, 30.0, 120.0])
def test_weights_equal_softmax_and_are_never_denormal(spread: float) -> None:
    """``spread`` is the standard deviation of the scores; with 30 and 120 most are far below the largest."""
    generator = np.random.default_rng(5)
    keys, values = generator.standard_normal((2, POSITIONS, HEAD_DIM), np.float32)
    query = spread * generator.standard_normal((HEADS, HEAD_DIM), np.float32)
    out, weights = attend(query, keys, values)
    scores = query.astype(float) @ keys.T.astype(float) / HEAD_DIM**0.5
    expected = np.exp(scores - scores.max(axis=1, keepdims=True))
    expected /= expected.sum(axis=1, keepdims=True)
    assert np.abs(weights - expected).max() < 1e-4
    assert np.abs(out - expected @ values).max() < 1e-3
    assert not np.any((weights > 0) & (weights < np.finfo(np.float32).tiny))
    assert np.any(weights == 0) == (spread > 1)


@pytest.mark.parametrize("positions", [1, 3, 4, 18, 40])
def test_bits_do_not_depend_on_other_heads_and_prefetching(positions: int) -> None:
    """Heads are multiplied in tiles of 4, 2 and 1, positions in tiles of 4 and 1."""
    generator = np.random.default_rng(6)
    keys, values = generator.standard_normal((2, positions, HEAD_DIM), np.float32)
    query = generator.standard_normal((7, HEAD_DIM), np.float32)
    together = attend(query, keys, values)
    prefetched = attend(query, keys, values, is_first=True)
    alone = [attend(query[head : head + 1], keys, values) for head in range(len(query))]
    for number in range(2):
        np.testing.assert_array_equal(together[number], prefetched[number])
        np.testing.assert_array_equal(together[number], np.concatenate([result[number] for result in alone]))
