"""The robust line through samples of memory."""

from __future__ import annotations

import random

import pytest

from lib.soak.memory_slope import fit, theil_sen


def test_slope_of_a_line_is_exact() -> None:
    assert theil_sen([0, 1, 3, 10], [5, 7, 11, 25]) == pytest.approx(2.0)


def test_outliers_do_not_change_the_slope() -> None:
    rng = random.Random(1)
    times = list(range(200))
    values = [3.0 * time_s + rng.uniform(-1, 1) for time_s in times]
    for outlier in rng.sample(times, 40):
        values[outlier] += 10_000
    assert theil_sen(times, values) == pytest.approx(3.0, abs=0.1)


def test_many_samples_are_thinned_out() -> None:
    assert theil_sen(range(20_000), range(20_000)) == pytest.approx(1.0)


def test_samples_of_one_time_have_no_slope() -> None:
    with pytest.raises(ValueError, match="two different times"):
        theil_sen([1.0, 1.0], [1.0, 2.0])


def test_slope_is_in_mb_per_hour_after_the_warm_up() -> None:
    times = [100.0 + 10 * number for number in range(721)]  # two hours, of which the first 1,200 s grow fast
    sizes = [min(time_s - 100, 1200) * 1e6 + time_s * 10e6 / 3600 for time_s in times]
    slope = fit(times, sizes, begin_s=1300, min_fitted_s=600)
    assert slope is not None
    assert slope.mb_per_hour == pytest.approx(10.0)
    assert slope.hours == pytest.approx(6000 / 3600)
    assert slope.low == pytest.approx(10.0)
    assert slope.high == pytest.approx(10.0)


def test_limits_of_confidence_contain_the_slope_of_19_noisy_lines_of_20() -> None:
    rng, times = random.Random(1), [300.0 * number for number in range(20)]
    contained = 0
    for _ in range(200):
        slope = fit(times, [time_s * 2e6 / 3600 + rng.gauss(0, 3e6) for time_s in times], 0, 600)
        assert slope is not None
        contained += slope.low <= 2.0 <= slope.high
    assert 182 <= contained <= 198


@pytest.mark.parametrize("seconds", [0, 1000, 1700])
def test_short_lifetime_has_no_slope(seconds: int) -> None:
    times = list(range(0, seconds, 10))
    assert fit(times, times, begin_s=1200, min_fitted_s=600) is None
