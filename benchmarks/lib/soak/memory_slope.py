"""The growth of a process's memory over time: a robust line through its samples, in MB per hour."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MAX_POINTS = 1_000
"""More samples are thinned out: the fit compares each pair of points."""


@dataclass(frozen=True, slots=True)
class Slope:
    """``hours`` is the length of the stretch that the line was fitted to; ``low`` and ``high`` are the limits of 95 %
    confidence, in MB per hour, if the samples are independent of each other."""

    mb_per_hour: float
    hours: float
    low: float
    high: float


def theil_sen(times_s: Sequence[float], values: Sequence[float]) -> float:
    """The median of the slopes of all pairs of points, per second (Theil 1950, Sen 1968).

    Up to 29 % of the points may be outliers. Raises ValueError for fewer than two different times.
    """
    return float(np.median(_pair_slopes(times_s, values)[0]))


def _pair_slopes(times_s: Sequence[float], values: Sequence[float]) -> tuple[NDArray[np.float64], int]:
    """The slopes of all pairs in ascending order, and of how many points. Raises ValueError, as ``theil_sen``."""
    step = -(-len(times_s) // MAX_POINTS)
    x, y = np.asarray(times_s[::step], dtype=float), np.asarray(values[::step], dtype=float)
    first, second = np.triu_indices(len(x), k=1)
    has_distance = x[second] != x[first]
    if not has_distance.any():
        raise ValueError("A slope needs samples of two different times.")
    first, second = first[has_distance], second[has_distance]
    return np.sort((y[second] - y[first]) / (x[second] - x[first])), len(x)


def fit(times_s: Sequence[float], sizes_bytes: Sequence[float], begin_s: float, min_fitted_s: float) -> Slope | None:
    """The slope of one process from ``begin_s`` on. None if less than ``min_fitted_s`` or three samples remain."""
    fitted = [(time_s, size) for time_s, size in zip(times_s, sizes_bytes, strict=True) if time_s >= begin_s]
    if len(fitted) < 3 or fitted[-1][0] - fitted[0][0] < min_fitted_s:
        return None
    slopes, points = _pair_slopes([time_s for time_s, _ in fitted], [size for _, size in fitted])
    middle = len(slopes) / 2
    # Kendall's statistic has this standard deviation if there is no trend (Sen 1968); 1.96 of them are 95 %.
    half = 1.96 * math.sqrt(points * (points - 1) * (2 * points + 5) / 18) / 2
    low, high = slopes[max(0, math.floor(middle - half))], slopes[min(len(slopes) - 1, math.ceil(middle + half))]
    mb_per_hour, *limits = (float(slope) * 3600 / 1e6 for slope in (np.median(slopes), low, high))
    return Slope(mb_per_hour, (fitted[-1][0] - fitted[0][0]) / 3600, *limits)
