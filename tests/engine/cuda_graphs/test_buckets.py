from __future__ import annotations

from itertools import product

from starcoder_ls.engine.cuda_graphs.buckets import (
    LEAST_TOKENS,
    ROWS,
    SHARED_TOKENS,
    TIMES,
    Bucket,
    of_one_request,
    places,
    that_hold,
)


def test_places_double_up_to_the_context() -> None:
    assert list(places(8192)) == [512, 1024, 2048, 4096, 8192]
    assert list(places(3000)) == [512, 1024, 2048, 3000]
    assert list(places(300)) == [300]


def test_the_first_that_holds_a_pass_is_the_smallest() -> None:
    for rows, new, end in product(range(1, 17), range(1, 9), (9, LEAST_TOKENS, LEAST_TOKENS + 1, SHARED_TOKENS)):
        first = next(that_hold(rows, new, end, 8192))
        assert first.rows == min(size for size in ROWS if size >= rows)
        assert first.time == min(size for size in TIMES if size >= new)
        assert first.tokens == min(size for size in places(8192) if size >= end)


def test_no_shape_is_too_small_and_long_ones_have_one_row() -> None:
    for rows, new, end in product((1, 3, 16), (1, 5, 8), (9, 600, 2048, 5000)):
        for shape in that_hold(rows, new, end, 8192):
            assert (shape.rows >= rows, shape.time >= new, shape.tokens >= end) == (True, True, True)
            assert shape.rows == 1 or shape.tokens <= SHARED_TOKENS


def test_nothing_holds_more_than_there_is() -> None:
    assert list(that_hold(17, 1, 100, 8192)) == []
    assert list(that_hold(1, 9, 100, 8192)) == []
    assert list(that_hold(1, 1, 8193, 8192)) == []
    assert list(that_hold(2, 1, 2049, 8192)) == []


def test_the_first_to_be_recorded_serves_every_short_pass_of_one_request() -> None:
    first, *others = of_one_request(8192)
    assert first == Bucket(1, 8, 2048)
    assert all(shape.rows == 1 and shape.time <= first.time and shape.tokens <= first.tokens for shape in others)
    assert len(others) == 11
    assert next(of_one_request(256)) == Bucket(1, 8, 256)
