from __future__ import annotations

import random

import pytest

from starcoder_ls.evaluation import significance


@pytest.mark.parametrize(
    ("better", "worse", "p"),
    [(0, 0, 1.0), (5, 5, 1.0), (10, 0, 2 / 1024), (0, 10, 2 / 1024), (1, 0, 1.0), (8, 2, 2 * 56 / 1024)],
)
def test_sign_test_is_exact_for_few_pairs(better: int, worse: int, p: float) -> None:
    assert significance.mcnemar_p(better, worse) == pytest.approx(p)


def test_sign_test_does_not_overflow_for_many_pairs() -> None:
    assert 0 < significance.mcnemar_p(5000, 4600) < 0.001


def test_interval_of_a_difference_covers_the_true_value_in_95_percent() -> None:
    rng, covered = random.Random(1), 0
    for _ in range(200):
        baseline = [float(rng.random() < 0.3) for _ in range(80)]
        values = [max(base, float(rng.random() < 0.1)) for base in baseline]  # 0.7 * 0.1 more
        estimate = significance.paired_difference(values, baseline, samples=400)
        covered += estimate.low <= 0.07 <= estimate.high
    assert 0.89 < covered / 200 <= 1.0


def test_paired_difference_is_independent_of_the_spread() -> None:
    rng = random.Random(2)
    baseline = [rng.uniform(0, 100) for _ in range(50)]
    values = [base + rng.uniform(0, 2) for base in baseline]
    estimate = significance.paired_difference(values, baseline)
    assert 0 < estimate.low < estimate.value < estimate.high < 2


def test_equal_values_have_no_difference() -> None:
    estimate = significance.paired_difference([0.0, 1.0, 1.0], [0.0, 1.0, 1.0])
    assert (estimate.value, estimate.low, estimate.high) == (0.0, 0.0, 0.0)


def test_ratio_lies_within_its_interval() -> None:
    estimate = significance.ratio_of_means([1.0, 1.0, 0.0, 0.0] * 25, [1.0, 0.0, 0.0, 0.0] * 25)
    assert estimate is not None
    assert estimate.value == 2.0
    assert 1 < estimate.low < 2 < estimate.high < 4


def test_ratio_to_zero_is_none() -> None:
    assert significance.ratio_of_means([1.0, 1.0], [0.0, 0.0]) is None
    assert significance.ratio_of_means([1.0] * 40, [1.0] + [0.0] * 39) is None


def test_median_ratio_is_over_the_pairs() -> None:
    estimate = significance.median_ratio([2.0, 20.0, 200.0], [1.0, 10.0, 100.0])
    assert estimate is not None
    assert (estimate.low, estimate.value, estimate.high) == (2.0, 2.0, 2.0)
    assert significance.median_ratio([0.0], [1.0]) is None
