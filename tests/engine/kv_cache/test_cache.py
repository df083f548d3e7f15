from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from starcoder_ls.engine.kv_cache.cache import GROWTH_TOKENS, KvCache

LAYERS, HEADS, HEAD_DIM = 2, 3, 4


@pytest.fixture(autouse=True)
def in_inference_mode() -> Iterator[None]:
    with torch.inference_mode():
        yield


def states(tokens: int, start: int = 0, rows: int = 1) -> torch.Tensor:
    """Return states that differ in every element: [rows, heads, tokens, head_dim]."""
    numbers = torch.arange(start, start + rows * HEADS * tokens * HEAD_DIM, dtype=torch.float32)
    return numbers.view(rows, HEADS, tokens, HEAD_DIM)


def append(cache: KvCache, tokens: int, start: int = 0, rows: int = 1) -> list[tuple[torch.Tensor, torch.Tensor]]:
    keys = states(tokens, start, rows)
    return [cache.update(keys + layer, -keys - layer, layer) for layer in range(LAYERS)]


def test_update_returns_all_states_in_order() -> None:
    cache = KvCache(LAYERS, 10)
    append(cache, 3)
    keys, values = append(cache, 2, start=1000)[1]
    expected = torch.cat([states(3), states(2, 1000)], dim=2) + 1
    assert torch.equal(keys, expected)
    assert torch.equal(values, -expected)
    assert cache.length == cache.get_seq_length() == 5


def test_reallocation_preserves_states() -> None:
    cache = KvCache(LAYERS, 1)
    append(cache, GROWTH_TOKENS)
    keys, _ = append(cache, 1, start=-500)[0]
    assert torch.equal(keys[:, :, :GROWTH_TOKENS], states(GROWTH_TOKENS))
    assert keys.shape[2] == GROWTH_TOKENS + 1


def test_storage_stays_in_place_within_capacity() -> None:
    cache = KvCache(LAYERS, 300)
    address = append(cache, 1)[0][0].data_ptr()
    size = cache.bytes
    for _ in range(299):
        keys = append(cache, 1)[0][0]
    assert (keys.data_ptr(), cache.bytes) == (address, size)
    assert size == LAYERS * 2 * HEADS * 2 * GROWTH_TOKENS * HEAD_DIM * 4


def test_tokens_after_truncation_are_overwritten() -> None:
    cache = KvCache(LAYERS, 8)
    append(cache, 5)
    cache.truncate(2)
    assert cache.length == 2
    keys, _ = append(cache, 1, start=777)[0]
    assert torch.equal(keys, torch.cat([states(5)[:, :, :2], states(1, 777)], dim=2))


def test_truncating_beyond_length_changes_nothing() -> None:
    cache = KvCache(LAYERS, 8)
    append(cache, 2)
    cache.truncate(9)
    assert cache.length == 2


def test_fork_has_equal_rows_and_own_storage() -> None:
    cache = KvCache(LAYERS, 8)
    append(cache, 3)
    fork = cache.fork(4, 16)
    keys, _ = append(fork, 1, start=50, rows=4)[0]
    for row in range(4):
        assert torch.equal(keys[row, :, :3], states(3)[0])
    assert cache.length == 3
    fork.layers[0].keys.zero_()
    assert torch.equal(cache.layers[0].keys, states(3))


def test_selected_rows_preserve_their_states() -> None:
    cache = KvCache(LAYERS, 8)
    append(cache, 2, rows=3)
    cache.select_rows([0, 2])
    assert torch.equal(cache.layers[1].keys, states(2, rows=3)[[0, 2]] + 1)
    keys, _ = append(cache, 1, start=9, rows=2)[0]
    assert keys.shape == (2, HEADS, 3, HEAD_DIM)


def test_split_rows_hold_the_tokens_until_they_are_joined() -> None:
    cache = KvCache(LAYERS, 8)
    append(cache, 2, rows=3)
    size = cache.bytes
    rows = cache.split_rows()
    assert (cache.length, cache.bytes) == (2, size)
    for number, row in enumerate(rows):
        assert torch.equal(row.layers[1].keys, states(2, rows=3)[number : number + 1] + 1)
        append(row, 1, start=70 + number)
    assert cache.length == 3
    cache.select_rows([2, 0])
    cache.truncate(3)
    cache.join_rows()
    for number, row in enumerate((2, 0)):
        expected = torch.cat([states(2, rows=3)[row : row + 1], states(1, 70 + row)], dim=2)
        assert torch.equal(cache.layers[0].keys[number : number + 1], expected)
    keys, _ = append(cache, 1, start=9, rows=2)[0]
    assert keys.shape == (2, HEADS, 4, HEAD_DIM)


def test_single_row_is_split_into_the_cache_itself() -> None:
    cache = KvCache(LAYERS, 8)
    assert cache.split_rows() == [cache]
    append(cache, 2)
    assert cache.split_rows() == [cache]
    cache.join_rows()
    assert cache.length == 2
