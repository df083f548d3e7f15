from __future__ import annotations

import functools
import itertools
import random

import pytest

from scored_pairs import pairs_of, scored_hole
from starcoder_ls.evaluation.comparison import Pair
from starcoder_ls.evaluation.sequential_test import (
    STAGE_HOLES,
    STAGE_LEVELS,
    Decision,
    assess_stage,
    clustered_difference,
    conditional_power,
    net_gains,
    sign_flip_p,
    sign_test_p,
)

MAX_FALSE_SHARE = 0.025


def test_levels_of_the_stages_add_up_to_the_level_of_the_gate() -> None:
    assert sum(STAGE_LEVELS) == pytest.approx(MAX_FALSE_SHARE)
    assert len(STAGE_LEVELS) == len(STAGE_HOLES)


def test_sign_test_counts_the_outcomes_that_are_at_least_as_good() -> None:
    assert sign_test_p(3, 1) == 5 / 16
    assert sign_test_p(0, 0) == 1.0
    assert sign_test_p(10, 0) == 1 / 1024


def test_sign_flips_are_counted_exactly_as_by_enumeration() -> None:
    nets = [3, -1, 2, 1, 1, 0]
    totals = [
        sum(sign * net for sign, net in zip(signs, nets, strict=True)) for signs in itertools.product((1, -1), repeat=6)
    ]
    assert sign_flip_p(nets) == sum(total >= sum(nets) for total in totals) / 64
    assert sign_flip_p([1] * 8) == sign_test_p(8, 0)
    assert sign_flip_p([8]) == 0.5, "eight holes of one file are one observation"


@functools.cache
def pair_of(path: str, first: bool, second: bool) -> Pair:
    return scored_hole(0, first, path), scored_hole(0, second, path)


def draw_pairs(rng: random.Random, holes: int, gain: float, tendencies: dict[int, float]) -> list[Pair]:
    """Of 12 % of the holes one side is right; files lean to one side or the other, on average to none."""
    pairs = []
    for _ in range(holes):
        file = rng.randrange(40)
        share = 0.5 + tendencies.setdefault(file, rng.choice((-0.4, 0.4))) + gain
        differs, is_better = rng.random() < 0.12, rng.random() < share
        pairs.append(pair_of(f"{file}.py", differs and not is_better, differs and is_better))
    return pairs


def simulate(rng: random.Random, gain: float) -> tuple[Decision, int]:
    """The decision of a gate, and its number of holes."""
    pairs: list[Pair] = []
    tendencies: dict[int, float] = {}
    for stage, holes in enumerate(STAGE_HOLES):
        pairs += draw_pairs(rng, holes - len(pairs), gain, tendencies)
        better = sum(second.is_first_line_match and not first.is_first_line_match for first, second in pairs)
        worse = sum(first.is_first_line_match and not second.is_first_line_match for first, second in pairs)
        if max(sign_test_p(better, worse), sign_flip_p(list(net_gains(pairs).values()))) <= STAGE_LEVELS[stage]:
            return Decision.BETTER, len(pairs)
        if conditional_power(better, worse, len(pairs)) < 0.1:
            return Decision.FUTILE, len(pairs)
    return Decision.FUTILE, len(pairs)


def test_runs_without_a_difference_pass_as_rarely_as_promised() -> None:
    """With holes of a file that depend on each other, for which the sign test alone would pass too often."""
    rng = random.Random(0)
    results = [simulate(rng, gain=0.0) for _ in range(200)]
    passed = sum(decision is Decision.BETTER for decision, _ in results)
    assert passed <= MAX_FALSE_SHARE * 200
    assert sum(holes < STAGE_HOLES[-1] for _, holes in results) > 40, "some end early as futile"


def test_large_gain_passes_early_and_a_small_one_needs_all_stages() -> None:
    strong, weak, useless = (
        assess_stage(pairs_of(24, 4, 172), 0),
        assess_stage(pairs_of(9, 4, 187), 0),
        assess_stage(pairs_of(4, 16, 180), 0),
    )
    assert strong.decision is Decision.BETTER
    assert weak.decision is Decision.CONTINUE
    assert useless.decision is Decision.FUTILE
    assert assess_stage(pairs_of(9, 4, 787), 2).decision is Decision.FUTILE, "no stage follows"
    assert (strong.holes, strong.better, strong.worse) == (200, 24, 4)
    assert strong.difference.low > 0


def test_gain_in_a_single_file_is_no_gain() -> None:
    pairs = pairs_of(30, 0, 0, files=1) + pairs_of(0, 0, 170)
    assert assess_stage(pairs, 0).decision is not Decision.BETTER


def test_interval_is_wider_if_the_holes_of_a_file_go_together() -> None:
    spread, together = (
        clustered_difference(pairs_of(20, 0, 180, files=40)),
        clustered_difference([*pairs_of(20, 0, 0, files=2), *pairs_of(0, 0, 180, files=38)]),
    )
    assert spread.value == together.value == pytest.approx(0.1)
    assert together.high - together.low > spread.high - spread.low
