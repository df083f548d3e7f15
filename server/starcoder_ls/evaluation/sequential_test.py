"""Decides from holes that are filled in stages whether a second run is better, and whether further stages are of use.

The stages share one probability of a false decision: their levels add up to it, so that it holds whatever the
dependence between stages (Bonferroni). Files, not holes, are the independent units.
"""

from __future__ import annotations

import enum
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Protocol

from starcoder_ls.evaluation.score import Estimate

STAGE_HOLES = (200, 400, 800)
"""Holes up to and including each stage."""
STAGE_LEVELS = (0.004, 0.007, 0.014)
"""One-sided; together 0.025."""
MIN_FILES = math.ceil(-math.log2(max(STAGE_LEVELS)))
"""With fewer files no outcome reaches a level: all of k files get better by chance in one of 2^k cases."""
USEFUL_GAIN = 0.02
"""The gain in right first lines that a further stage must have a chance to show."""
MIN_POWER = 0.1
"""A run is futile if its last stage would show ``USEFUL_GAIN`` with a lower probability than this."""

_BOOTSTRAP_SAMPLES = 2000
_NORMAL = NormalDist()


class Scored(Protocol):
    """A hole or an edit as one side has filled or made it. Those of the same ``path`` may depend on each other."""

    @property
    def path(self) -> str: ...
    @property
    def is_right(self) -> bool: ...


class Decision(enum.StrEnum):
    """What follows from a stage."""

    BETTER = "better"
    CONTINUE = "continue"
    FUTILE = "futile"


@dataclass(frozen=True, slots=True)
class StageResult:
    """``p`` is one-sided. ``difference`` is that of the shares of what is right, with its 95 % interval."""

    decision: Decision
    holes: int
    better: int
    worse: int
    p: float
    difference: Estimate


def assess_stage(pairs: Sequence[tuple[Scored, Scored]], stage: int) -> StageResult:
    """The result of the holes up to ``stage``, counted from 0."""
    better = sum(second.is_right and not first.is_right for first, second in pairs)
    worse = sum(first.is_right and not second.is_right for first, second in pairs)
    nets = net_gains(pairs)
    p = max(sign_test_p(better, worse), sign_flip_p(list(nets.values())))
    is_last = stage == len(STAGE_LEVELS) - 1
    if p <= STAGE_LEVELS[stage]:
        decision = Decision.BETTER
    elif is_last or conditional_power(better, worse, len(pairs)) < MIN_POWER:
        decision = Decision.FUTILE
    else:
        decision = Decision.CONTINUE
    return StageResult(decision, len(pairs), better, worse, p, clustered_difference(pairs))


def net_gains(pairs: Sequence[tuple[Scored, Scored]]) -> dict[str, int]:
    """File -> holes that became right, less those that became wrong."""
    nets: dict[str, int] = {}
    for first, second in pairs:
        nets[first.path] = nets.get(first.path, 0) + second.is_right - first.is_right
    return nets


def sign_test_p(better: int, worse: int) -> float:
    """The one-sided p of the exact sign test: the chance of at least ``better`` of the differing pairs."""
    count = better + worse
    return float(sum(math.comb(count, number) for number in range(better, count + 1)) / 2**count)


def sign_flip_p(nets: Sequence[int]) -> float:
    """The one-sided p of the sum if each value may as well have the other sign (exact, by convolution).

    Values are net gains of files: holes in one file may depend on each other.
    """
    ways: dict[int, int] = {0: 1}
    sizes = [abs(net) for net in nets if net]
    for size in sizes:
        flipped: dict[int, int] = {}
        for total, count in ways.items():
            for value in (total + size, total - size):
                flipped[value] = flipped.get(value, 0) + count
        ways = flipped
    observed = sum(nets)
    return float(sum(count for total, count in ways.items() if total >= observed) / 2 ** len(sizes))


def conditional_power(better: int, worse: int, holes: int) -> float:
    """The chance that the last stage shows an improvement if the gain is the observed one or ``USEFUL_GAIN``, whichever
    is larger (Lan & Wittes 1988, B-values)."""
    last = max(STAGE_HOLES[-1], holes + 1)
    share = holes / last
    discordant = max(better + worse, 1) / holes
    z = (better - worse) / math.sqrt(holes * discordant)
    gain = max((better - worse) / holes, USEFUL_GAIN)
    drift = gain * math.sqrt(last / discordant)
    critical = _NORMAL.inv_cdf(1 - STAGE_LEVELS[-1])
    missing = critical - z * math.sqrt(share) - drift * (1 - share)
    return 1 - _NORMAL.cdf(missing / math.sqrt(1 - share))


def clustered_difference(pairs: Sequence[tuple[Scored, Scored]]) -> Estimate:
    """The difference of the shares of what is right with its bootstrap interval; files are resampled."""
    by_file: dict[str, list[int]] = {}
    for first, second in pairs:
        by_file.setdefault(first.path, []).append(second.is_right - first.is_right)
    files = [(sum(differences), len(differences)) for differences in by_file.values()]
    rng, means = random.Random(0), []
    for _ in range(_BOOTSTRAP_SAMPLES):
        sample = rng.choices(files, k=len(files))
        means.append(sum(total for total, _ in sample) / sum(count for _, count in sample))
    means.sort()
    value = sum(total for total, _ in files) / len(pairs)
    return Estimate(value, means[int(0.025 * len(means))], means[int(0.975 * len(means))])
