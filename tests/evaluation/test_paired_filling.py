from __future__ import annotations

import random
import statistics
from pathlib import Path

from harness import async_test
from repositories import repository
from scored_pairs import scored_hole
from starcoder_ls.evaluation import gate_guards
from starcoder_ls.evaluation.holes import Hole, Kind
from starcoder_ls.evaluation.paired_filling import fill_alternately
from starcoder_ls.evaluation.repository import Repository
from starcoder_ls.evaluation.results import ScoredHole


def drawn_holes(folder: Path, count: int = 4) -> list[Hole]:
    return Repository([repository(folder)]).draw_holes([Kind.LINE], count, 0)


@async_test
async def test_each_hole_is_filled_by_both_sides_at_once_in_turns(tmp_path: Path) -> None:
    holes, calls = drawn_holes(tmp_path), []

    async def fill(side: int, hole: Hole) -> ScoredHole:
        calls.append((side, holes.index(hole)))
        return scored_hole(holes.index(hole), is_right=side == 1)

    pairs = await fill_alternately(holes, fill)
    assert calls == [(0, 0), (1, 0), (1, 1), (0, 1), (0, 2), (1, 2), (1, 3), (0, 3)]
    assert [(first.is_first_line_match, second.is_first_line_match) for first, second in pairs] == [(False, True)] * 4
    assert [first.id for first, _ in pairs] == [second.id for _, second in pairs] == ["0", "1", "2", "3"]


@async_test
async def test_kept_pairs_are_taken_and_the_sides_keep_their_turns(tmp_path: Path) -> None:
    holes, calls, kept = drawn_holes(tmp_path), [], []

    async def fill(side: int, hole: Hole) -> ScoredHole:
        calls.append((side, holes.index(hole)))
        return scored_hole(holes.index(hole), is_right=True)

    async def keep(pair: tuple[ScoredHole, ScoredHole]) -> None:
        kept.append((pair[0].id, len(calls)))

    earlier = {holes[number]: (scored_hole(number, False), scored_hole(number, False)) for number in (0, 2)}
    pairs = await fill_alternately(holes, fill, earlier.get, keep)
    assert calls == [(1, 1), (0, 1), (1, 3), (0, 3)]
    assert kept == [("1", 2), ("3", 4)], "each is kept before the next hole is filled"
    assert [first.id for first, _ in pairs] == ["0", "1", "2", "3"]
    assert [first.is_right for first, _ in pairs] == [False, True, False, True]


class BusyMachine:
    """Answers take ``ratios[side]`` times 20 ms where nothing else runs. Other work comes and goes, and once in a while
    holds an answer up; the second answer at a hole is a fifth faster."""

    def __init__(self, ratios: tuple[float, float]) -> None:
        self._ratios, self._rng, self._load, self._last = ratios, random.Random(1), 1.0, ""

    def answer_ms(self, side: int, hole: str) -> float:
        if self._rng.random() < 0.02:
            self._load = self._rng.choice((1.0, 2.0, 4.0))
        held_up_ms = 500 if self._rng.random() < 0.05 else 0
        cache = 0.8 if hole == self._last else 1.0
        self._last = hole
        return 20 * self._ratios[side] * self._load * cache * self._rng.uniform(0.9, 1.1) + held_up_ms


async def measured_ratio(ratios: tuple[float, float], holes: list[Hole]) -> gate_guards.Guard:
    machine, numbers = BusyMachine(ratios), iter(range(10_000))

    async def fill(side: int, _hole: Hole) -> ScoredHole:
        number = next(numbers) // 2
        return scored_hole(number, True, elapsed_ms=machine.answer_ms(side, str(number)))

    return gate_guards.check_latency(await fill_alternately(holes, fill))


@async_test
async def test_busy_machine_does_not_change_what_is_found_about_the_time(tmp_path: Path) -> None:
    holes = drawn_holes(tmp_path, 1) * 200
    for ratios, is_passed in (((1.0, 1.0), True), ((1.0, 1.2), True), ((1.0, 1.45), False)):
        guard = await measured_ratio(ratios, holes)
        assert guard.is_passed is is_passed, guard.sentence


def test_sides_that_run_one_after_the_other_are_misjudged_on_that_machine() -> None:
    machine = BusyMachine((1.0, 1.0))
    first, second = (statistics.median([machine.answer_ms(side, f"{side} {n}") for n in range(200)]) for side in (0, 1))
    assert not 1 / gate_guards.MAX_LATENCY_RATIO < second / first < gate_guards.MAX_LATENCY_RATIO
