"""Tests and intervals for paired values: whether two runs over the same holes differ by more than chance."""

from __future__ import annotations

import math
import random
import statistics
from collections.abc import Sequence

from starcoder_ls.evaluation.score import Estimate

BOOTSTRAP_SAMPLES = 4000


def mcnemar_p(better: int, worse: int) -> float:
    """The two-sided p of the exact sign test over the pairs that differ (McNemar 1947; binomial with p = 1/2)."""
    pairs, fewer = better + worse, min(better, worse)
    tail, coefficient = 0, 1  # the binomial coefficients of ``pairs`` over 0, 1, ..., ``fewer``, and their sum
    for count in range(fewer + 1):
        tail += coefficient
        coefficient = coefficient * (pairs - count) // (count + 1)
    return float(min(1.0, 2 * tail / 2**pairs)) if pairs else 1.0


def paired_difference(values: Sequence[float], baseline: Sequence[float], samples: int = BOOTSTRAP_SAMPLES) -> Estimate:
    """The mean of ``values - baseline`` with its 95 % bootstrap interval (Efron's percentiles, pairs resampled)."""
    differences = [value - base for value, base in zip(values, baseline, strict=True)]
    if not differences:
        return Estimate(0.0, 0.0, 0.0)
    rng = random.Random(0)
    means = [math.fsum(rng.choices(differences, k=len(differences))) / len(differences) for _ in range(samples)]
    return _percentile_interval(statistics.fmean(differences), means)


def ratio_of_means(
    values: Sequence[float], baseline: Sequence[float], samples: int = BOOTSTRAP_SAMPLES
) -> Estimate | None:
    """The ratio of the means with its bootstrap interval; None if the baseline is zero, or the interval is infinite."""
    pairs = list(zip(values, baseline, strict=True))
    if not sum(baseline):
        return None
    rng = random.Random(0)
    ratios = []
    for _ in range(samples):
        sample = rng.choices(pairs, k=len(pairs))
        divisor = math.fsum(base for _, base in sample)
        ratios.append(math.fsum(value for value, _ in sample) / divisor if divisor else math.inf)
    estimate = _percentile_interval(sum(values) / sum(baseline), ratios)
    return estimate if math.isfinite(estimate.high) else None


def median_ratio(
    values: Sequence[float], baseline: Sequence[float], samples: int = BOOTSTRAP_SAMPLES // 4
) -> Estimate | None:
    """The median of the pairs' ratios with its bootstrap interval; None if no pair has two positive values."""
    ratios = [value / base for value, base in zip(values, baseline, strict=True) if value > 0 and base > 0]
    if not ratios:
        return None
    rng = random.Random(0)
    medians = [statistics.median(rng.choices(ratios, k=len(ratios))) for _ in range(samples)]
    return _percentile_interval(statistics.median(ratios), medians)


def _percentile_interval(value: float, sampled: list[float]) -> Estimate:
    sampled.sort()
    return Estimate(value, sampled[int(0.025 * len(sampled))], sampled[int(0.975 * len(sampled))])
