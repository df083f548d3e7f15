"""The growth of a process's memory over time: a robust line through its samples, in MB per hour."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

MAX_POINTS = 1_000
"""More samples are thinned out: the fit compares each pair of points."""


@dataclass(frozen=True, slots=True)
class Slope:
    """``hours`` is the length of the stretch that the line was fitted to."""

    mb_per_hour: float
    hours: float


def theil_sen(times_s: Sequence[float], values: Sequence[float]) -> float:
    """The median of the slopes of all pairs of points, per second (Theil 1950, Sen 1968).

    Up to 29 % of the points may be outliers. Raises ValueError for fewer than two different times.
    """
    step = -(-len(times_s) // MAX_POINTS)
    x, y = np.asarray(times_s[::step], dtype=float), np.asarray(values[::step], dtype=float)
    first, second = np.triu_indices(len(x), k=1)
    has_distance = x[second] != x[first]
    if not has_distance.any():
        raise ValueError("A slope needs samples of two different times.")
    first, second = first[has_distance], second[has_distance]
    return float(np.median((y[second] - y[first]) / (x[second] - x[first])))


def fit(times_s: Sequence[float], sizes_bytes: Sequence[float], warm_up_s: float, min_fitted_s: float) -> Slope | None:
    """The slope of one process after its warm-up, which begins with the first sample.

    None if less than ``min_fitted_s`` remain.
    """
    if not times_s:
        return None
    begin_s = times_s[0] + warm_up_s
    fitted = [(time_s, size) for time_s, size in zip(times_s, sizes_bytes, strict=True) if time_s >= begin_s]
    if len(fitted) < 3 or fitted[-1][0] - fitted[0][0] < min_fitted_s:
        return None
    slope = theil_sen([time_s for time_s, _ in fitted], [size for _, size in fitted])
    return Slope(slope * 3600 / 1e6, (fitted[-1][0] - fitted[0][0]) / 3600)
