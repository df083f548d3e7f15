"""Whether two ways to fill the same holes differ by more than chance.

Refuses to know what the numbers measure.
"""

from __future__ import annotations

import math
import random
import statistics
from collections.abc import Sequence

from starcoder_ls.evaluation.score import Mean

DRAWS = 4000


def mcnemar_p(better: int, worse: int) -> float:
    """Two-sided p of the exact sign test over the pairs that differ (McNemar 1947; binomial with one half)."""
    pairs = better + worse
    tail = sum(math.comb(pairs, count) for count in range(min(better, worse) + 1))
    return float(min(1.0, 2 * tail / 2**pairs)) if pairs else 1.0


def difference(ours: Sequence[float], theirs: Sequence[float], draws: int = DRAWS) -> Mean:
    """Mean of the paired differences with the 95 % interval of bootstrap draws of pairs (Efron, percentiles)."""
    pairs = [a - b for a, b in zip(ours, theirs, strict=True)]
    if not pairs:
        return Mean(0.0, 0.0, 0.0)
    dice = random.Random(0)
    means = [math.fsum(dice.choices(pairs, k=len(pairs))) / len(pairs) for _ in range(draws)]
    return _interval(statistics.fmean(pairs), means)


def ratio(ours: Sequence[float], theirs: Sequence[float], draws: int = DRAWS) -> Mean | None:
    """Ratio of the means, with its interval from draws of pairs; None where theirs is zero, or in one draw of 40."""
    pairs = list(zip(ours, theirs, strict=True))
    if not sum(theirs):
        return None
    dice = random.Random(0)
    drawn = []
    for _ in range(draws):
        chosen = dice.choices(pairs, k=len(pairs))
        below = math.fsum(theirs for _, theirs in chosen)
        drawn.append(math.fsum(ours for ours, _ in chosen) / below if below else math.inf)
    found = _interval(sum(ours) / sum(theirs), drawn)
    return found if math.isfinite(found.high) else None


def median_ratio(ours: Sequence[float], theirs: Sequence[float], draws: int = DRAWS // 4) -> Mean | None:
    """Median of the ratios of pairs, with the interval of bootstrap draws; None without pairs above zero."""
    ratios = [a / b for a, b in zip(ours, theirs, strict=True) if a > 0 and b > 0]
    if not ratios:
        return None
    dice = random.Random(0)
    return _interval(
        statistics.median(ratios), [statistics.median(dice.choices(ratios, k=len(ratios))) for _ in range(draws)]
    )


def _interval(value: float, drawn: list[float]) -> Mean:
    drawn.sort()
    return Mean(value, drawn[int(0.025 * len(drawn))], drawn[int(0.975 * len(drawn))])
