from __future__ import annotations

from collections.abc import Iterator

import pytest

from repositories import repository, run_of
from scored_pairs import pairs_of
from starcoder_ls.evaluation.comparison import Pair
from starcoder_ls.evaluation.gate import Code, HeldOutLoss, Side, Verdict, merge_pairs, run_gate
from starcoder_ls.evaluation.results import Run
from starcoder_ls.evaluation.sequential_test import Decision

LOWER = HeldOutLoss(base=3.0, candidate=2.8)


class Outcomes:
    """Runs with chosen outcomes; ``calls`` has what was measured."""

    def __init__(self, template: Run, held_out: list[list[Pair]], foreign: list[Pair] | None = None) -> None:
        self._template, self._held_out, self._foreign = template, held_out, foreign or []
        self.calls: list[tuple[Side, Code, int]] = []

    def __call__(self, side: Side, code: Code, holes: int, seed: int) -> Run:
        self.calls.append((side, code, holes))
        pairs = self._held_out[seed] if code is Code.HELD_OUT else self._foreign
        chosen = [pair[side is Side.CANDIDATE] for pair in pairs]
        return self._template.model_copy(
            update={"holes": [h.model_copy(update={"id": f"{seed}/{h.id}"}) for h in chosen]}
        )


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return run_of(repository(tmp_path_factory.mktemp("code")), lambda _: "", per_kind=1)


def judge(outcomes: Outcomes, loss: HeldOutLoss = LOWER) -> Verdict:
    def texts() -> Iterator[str]:
        yield "import os\n"

    return run_gate("own", loss, outcomes, texts)


def test_higher_loss_is_refused_without_a_hole(template: Run) -> None:
    outcomes = Outcomes(template, [])
    verdict = judge(outcomes, HeldOutLoss(3.0, 3.0))
    assert not verdict.is_passed
    assert "3.000" in verdict.sentence
    assert outcomes.calls == []


def test_clear_gain_passes_after_one_stage_and_the_guards(template: Run) -> None:
    outcomes = Outcomes(template, [pairs_of(30, 2, 168)], pairs_of(1, 1, 198))
    verdict = judge(outcomes)
    assert verdict.is_passed
    assert verdict.sentence.startswith("own is better: +14.0 points of right first lines (95 % interval +")
    assert [guard.name for guard in verdict.guards] == [
        "kinds of holes",
        "time",
        "secrets",
        "copied text",
        "other code",
    ]
    assert outcomes.calls == [
        (Side.BASE, Code.HELD_OUT, 200), (Side.CANDIDATE, Code.HELD_OUT, 200),
        (Side.BASE, Code.FOREIGN, 200), (Side.CANDIDATE, Code.FOREIGN, 200),
    ]  # fmt: skip
    assert verdict.to_json()["stages"][0]["better"] == 30


def test_unclear_gain_goes_on_and_holes_of_all_stages_count(template: Run) -> None:
    stages = [pairs_of(9, 4, 187), pairs_of(12, 5, 183), pairs_of(30, 8, 362)]
    verdict = judge(Outcomes(template, stages, pairs_of(0, 0, 200)))
    assert [stage.decision for stage in verdict.stages] == [Decision.CONTINUE, Decision.CONTINUE, Decision.BETTER]
    assert [stage.holes for stage in verdict.stages] == [200, 400, 800]
    assert verdict.is_passed


def test_equal_runs_are_refused_with_the_interval(template: Run) -> None:
    verdict = judge(Outcomes(template, [pairs_of(0, 0, 200), pairs_of(0, 0, 200), pairs_of(0, 0, 400)]))
    assert not verdict.is_passed
    assert verdict.sentence.startswith("own is refused: no significant gain, +0.0 points")
    assert verdict.guards == ()


def test_failed_guard_refuses_despite_the_gain(template: Run) -> None:
    verdict = judge(Outcomes(template, [pairs_of(30, 2, 168)], pairs_of(0, 9, 191)))
    assert not verdict.is_passed
    assert "other code: -4.5 points in 200 holes of other code, despite +14.0 points" in verdict.sentence


def test_holes_that_are_drawn_twice_count_once() -> None:
    assert len(merge_pairs(pairs_of(2, 0, 3), pairs_of(2, 0, 5))) == 7
