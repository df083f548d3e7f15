from __future__ import annotations

from itertools import product

from starcoder_ls.engine.cuda_graphs.buckets import (
    MAX_SHARED_KV_TOKENS,
    MIN_KV_TOKENS,
    NEW_TOKENS,
    ROW_COUNTS,
    Bucket,
    buckets_holding,
    kv_sizes,
    single_request_buckets,
)


def test_places_double_up_to_the_context() -> None:
    assert list(kv_sizes(8192)) == [512, 1024, 2048, 4096, 8192]
    assert list(kv_sizes(3000)) == [512, 1024, 2048, 3000]
    assert list(kv_sizes(300)) == [300]


def test_the_first_that_holds_a_pass_is_the_smallest() -> None:
    for rows, new, end in product(
        range(1, 17), range(1, 9), (9, MIN_KV_TOKENS, MIN_KV_TOKENS + 1, MAX_SHARED_KV_TOKENS)
    ):
        first = next(buckets_holding(rows, new, end, 8192))
        assert first.rows == min(size for size in ROW_COUNTS if size >= rows)
        assert first.time == min(size for size in NEW_TOKENS if size >= new)
        assert first.tokens == min(size for size in kv_sizes(8192) if size >= end)


def test_no_shape_is_too_small_and_long_ones_have_one_row() -> None:
    for rows, new, end in product((1, 3, 16), (1, 5, 8), (9, 600, 2048, 5000)):
        for shape in buckets_holding(rows, new, end, 8192):
            assert (shape.rows >= rows, shape.time >= new, shape.tokens >= end) == (True, True, True)
            assert shape.rows == 1 or shape.tokens <= MAX_SHARED_KV_TOKENS


def test_nothing_holds_more_than_there_is() -> None:
    assert list(buckets_holding(17, 1, 100, 8192)) == []
    assert list(buckets_holding(1, 9, 100, 8192)) == []
    assert list(buckets_holding(1, 1, 8193, 8192)) == []
    assert list(buckets_holding(2, 1, 2049, 8192)) == []


def test_the_first_to_be_recorded_serves_every_short_pass_of_one_request() -> None:
    first, *others = single_request_buckets(8192)
    assert first == Bucket(1, 8, 2048)
    assert all(shape.rows == 1 and shape.time <= first.time and shape.tokens <= first.tokens for shape in others)
    assert len(others) == 11
    assert next(single_request_buckets(256)) == Bucket(1, 8, 256)
