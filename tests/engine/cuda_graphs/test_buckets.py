from __future__ import annotations

from itertools import product

from starcoder_ls.engine.cuda_graphs.buckets import (
    MAX_SHARED_KV_TOKENS,
    MIN_KV_TOKENS,
    NEW_TOKEN_COUNTS,
    ROW_COUNTS,
    Bucket,
    buckets_holding,
    kv_sizes,
    single_request_buckets,
    static_kv_sizes,
)


def test_kv_sizes_double_up_to_the_context() -> None:
    assert list(kv_sizes(8192)) == [512, 1024, 2048, 4096, 8192]
    assert list(kv_sizes(3000)) == [512, 1024, 2048, 3000]
    assert list(kv_sizes(300)) == [300]


def test_static_kv_has_shared_rows_and_one_row_of_the_context() -> None:
    assert static_kv_sizes(8192) == [(2048, (16, 8, 4, 2, 1)), (8192, (1,))]
    assert static_kv_sizes(2048) == [(2048, (16, 8, 4, 2, 1))]
    assert static_kv_sizes(300) == [(300, (16, 8, 4, 2, 1))]


def test_first_bucket_is_the_smallest_that_holds_the_pass() -> None:
    ends = (9, MIN_KV_TOKENS, MIN_KV_TOKENS + 1, MAX_SHARED_KV_TOKENS)
    for rows, new_tokens, end in product(range(1, 17), range(1, 9), ends):
        first = next(buckets_holding(rows, new_tokens, end, 8192))
        assert first.rows == min(count for count in ROW_COUNTS if count >= rows)
        assert first.new_tokens == min(count for count in NEW_TOKEN_COUNTS if count >= new_tokens)
        assert first.kv_tokens == min(size for size in kv_sizes(8192) if size >= end)


def test_every_bucket_holds_the_pass_and_long_ones_have_one_row() -> None:
    for rows, new_tokens, end in product((1, 3, 16), (1, 5, 8, 9, 32), (9, 600, 2048, 5000)):
        for bucket in buckets_holding(rows, new_tokens, end, 8192):
            assert bucket.rows >= rows
            assert bucket.new_tokens >= new_tokens
            assert bucket.kv_tokens >= end
            assert bucket.rows == 1 or bucket.kv_tokens <= MAX_SHARED_KV_TOKENS
            assert bucket.rows == 1 or bucket.new_tokens <= NEW_TOKEN_COUNTS[-1]


def test_no_bucket_holds_a_pass_beyond_the_limits() -> None:
    assert list(buckets_holding(17, 1, 100, 8192)) == []
    assert next(buckets_holding(1, 9, 100, 8192)) == Bucket(1, 16, 512)
    assert list(buckets_holding(1, 33, 100, 8192)) == []
    assert list(buckets_holding(2, 9, 100, 8192)) == []
    assert list(buckets_holding(1, 1, 8193, 8192)) == []
    assert list(buckets_holding(2, 1, 2049, 8192)) == []


def test_first_captured_bucket_holds_every_short_pass_of_one_request() -> None:
    first, *others = single_request_buckets(8192)
    assert first == Bucket(1, 8, 2048)
    assert all(bucket.rows == 1 for bucket in others)
    assert all(bucket.new_tokens <= 8 and bucket.kv_tokens <= 2048 for bucket in others)
    assert len(others) == 11
    assert next(single_request_buckets(256)) == Bucket(1, 8, 256)
