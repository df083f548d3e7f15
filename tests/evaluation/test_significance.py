from __future__ import annotations

import random

import pytest

from starcoder_ls.evaluation import significance


@pytest.mark.parametrize(
    ("better", "worse", "p"),
    [(0, 0, 1.0), (5, 5, 1.0), (10, 0, 2 / 1024), (0, 10, 2 / 1024), (1, 0, 1.0), (8, 2, 2 * 56 / 1024)],
)
def test_sign_test_is_exact(better: int, worse: int, p: float) -> None:
    assert significance.mcnemar_p(better, worse) == pytest.approx(p)


def test_sign_test_of_many_pairs_is_a_number() -> None:
    assert 0 < significance.mcnemar_p(5000, 4600) < 0.001


def test_interval_of_a_difference_holds_the_truth_19_times_in_20() -> None:
    rng, inside = random.Random(1), 0
    for _ in range(200):
        theirs = [float(rng.random() < 0.3) for _ in range(80)]
        ours = [max(one, float(rng.random() < 0.1)) for one in theirs]  # 0.7 * 0.1 more
        found = significance.difference(ours, theirs, draws=400)
        inside += found.low <= 0.07 <= found.high
    assert 0.89 < inside / 200 <= 1.0


def test_pairing_sees_what_the_spread_of_both_hides() -> None:
    rng = random.Random(2)
    theirs = [rng.uniform(0, 100) for _ in range(50)]
    ours = [one + rng.uniform(0, 2) for one in theirs]
    found = significance.difference(ours, theirs)
    assert 0 < found.low < found.value < found.high < 2


def test_the_same_answers_differ_by_nothing() -> None:
    found = significance.difference([0.0, 1.0, 1.0], [0.0, 1.0, 1.0])
    assert (found.value, found.low, found.high) == (0.0, 0.0, 0.0)


def test_ratio_has_an_interval_around_it() -> None:
    found = significance.ratio([1.0, 1.0, 0.0, 0.0] * 25, [1.0, 0.0, 0.0, 0.0] * 25)
    assert found is not None
    assert found.value == 2.0
    assert 1 < found.low < 2 < found.high < 4


def test_ratio_to_nothing_is_none() -> None:
    assert significance.ratio([1.0, 1.0], [0.0, 0.0]) is None
    assert significance.ratio([1.0] * 40, [1.0] + [0.0] * 39) is None


def test_median_ratio_is_of_pairs() -> None:
    found = significance.median_ratio([2.0, 20.0, 200.0], [1.0, 10.0, 100.0])
    assert found is not None
    assert (found.low, found.value, found.high) == (2.0, 2.0, 2.0)
    assert significance.median_ratio([0.0], [1.0]) is None
