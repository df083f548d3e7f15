from __future__ import annotations

from collections.abc import Iterator

from scored_pairs import pairs_of
from starcoder_ls.evaluation.comparison import Pair
from starcoder_ls.evaluation.gate import Code, HeldOutLoss, Verdict, merge_pairs, run_gate
from starcoder_ls.evaluation.sequential_test import Decision, assess_stage

LOWER = HeldOutLoss(base=3.0, candidate=2.8)


class Outcomes:
    """Holes with chosen outcomes; ``calls`` has what was measured."""

    def __init__(self, held_out: list[list[Pair]], foreign: list[Pair] | None = None) -> None:
        self._held_out, self._foreign = held_out, foreign or []
        self.calls: list[tuple[Code, int]] = []

    def __call__(self, code: Code, holes: int, seed: int) -> list[Pair]:
        self.calls.append((code, holes))
        pairs = self._held_out[seed] if code is Code.HELD_OUT else self._foreign
        changes = [{"id": f"{seed}/{first.id}"} for first, _ in pairs]
        return [
            (first.model_copy(update=change), second.model_copy(update=change))
            for (first, second), change in zip(pairs, changes, strict=True)
        ]


def judge(outcomes: Outcomes, loss: HeldOutLoss = LOWER, files: int = 40) -> Verdict:
    def texts() -> Iterator[str]:
        yield "import os\n"

    return run_gate("own", loss, files, outcomes, texts)


def test_higher_loss_is_refused_without_a_hole() -> None:
    outcomes = Outcomes([])
    verdict = judge(outcomes, HeldOutLoss(3.0, 3.0))
    assert not verdict.is_passed
    assert "3.000" in verdict.sentence
    assert outcomes.calls == []


def test_too_few_files_are_refused_without_a_hole() -> None:
    outcomes = Outcomes([])
    assert "6 files were held out" in judge(outcomes, files=6).sentence
    assert outcomes.calls == []
    all_better = [pairs_of(5, 0, 0, files=1)] * 7
    pairs = [
        (first.model_copy(update={"path": str(n)}), second)
        for n, found in enumerate(all_better)
        for first, second in found
    ]
    assert assess_stage(pairs, 2).decision is Decision.BETTER, "seven files can be enough"
    assert assess_stage(pairs[:30], 2).decision is Decision.FUTILE, "six never are"


def test_clear_gain_passes_after_one_stage_and_the_guards() -> None:
    outcomes = Outcomes([pairs_of(30, 2, 168)], pairs_of(1, 1, 198))
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
        (Code.HELD_OUT, 200),
        (Code.FOREIGN, 200),
    ]
    assert verdict.to_json()["stages"][0]["better"] == 30


def test_unclear_gain_goes_on_and_holes_of_all_stages_count() -> None:
    stages = [pairs_of(9, 4, 187), pairs_of(12, 5, 183), pairs_of(30, 8, 362)]
    verdict = judge(Outcomes(stages, pairs_of(0, 0, 200)))
    assert [stage.decision for stage in verdict.stages] == [Decision.CONTINUE, Decision.CONTINUE, Decision.BETTER]
    assert [stage.holes for stage in verdict.stages] == [200, 400, 800]
    assert verdict.is_passed


def test_equal_runs_are_refused_with_the_interval() -> None:
    verdict = judge(Outcomes([pairs_of(0, 0, 200), pairs_of(0, 0, 200), pairs_of(0, 0, 400)]))
    assert not verdict.is_passed
    assert verdict.sentence.startswith("own is refused: no significant gain, +0.0 points")
    assert verdict.guards == ()


def test_failed_guard_refuses_despite_the_gain() -> None:
    verdict = judge(Outcomes([pairs_of(30, 2, 168)], pairs_of(0, 9, 191)))
    assert not verdict.is_passed
    assert "other code: -4.5 points in 200 holes of other code, despite +14.0 points" in verdict.sentence


def test_holes_that_are_drawn_twice_count_once() -> None:
    assert len(merge_pairs(pairs_of(2, 0, 3), pairs_of(2, 0, 5))) == 7
