from __future__ import annotations

from collections.abc import Iterator

from starcoder_ls.evaluation.edit_gate import EditPair, run_edit_gate
from starcoder_ls.evaluation.edit_scores import Outcome, ScoredEdit
from starcoder_ls.evaluation.gate import HeldOutLoss, Verdict

LOWER = HeldOutLoss(base=2.0, candidate=1.0)
EXACT, WRONG, UNCHANGED = Outcome.EXACT, Outcome.WRONG, Outcome.UNCHANGED


def scored(number: int, outcome: Outcome, is_only_intended: bool = True, text: str = "x = 2") -> ScoredEdit:
    answer = None if outcome is UNCHANGED else text
    return ScoredEdit(str(number), f"c{number % 40}", "", outcome, is_only_intended, 10.0, answer, "x = 1", "x = 2")


def pairs(*groups: tuple[int, Outcome, Outcome], spread: bool = False, text: str = "x = 2") -> list[EditPair]:
    outcomes = [(first, second) for count, first, second in groups for _ in range(count)]
    return [
        (scored(number, first), scored(number, second, not spread, text))
        for number, (first, second) in enumerate(outcomes)
    ]


def judge(found: list[EditPair], loss: HeldOutLoss = LOWER, commits: int = 40) -> Verdict:
    def texts() -> Iterator[str]:
        yield "import os\n" * 40

    return run_edit_gate("own", loss, commits, lambda first, last: found[first:last], texts)


def test_gain_passes_with_one_sentence_about_both_shares() -> None:
    verdict = judge(pairs((40, WRONG, EXACT), (2, EXACT, WRONG), (158, UNCHANGED, WRONG)))
    assert verdict.is_passed
    assert verdict.sentence.startswith("own is better: +19.0 points of edits made exactly")
    assert "200 edits, 40 became right and 2 wrong" in verdict.sentence
    assert "only the intended lines are changed in 100 % of 200 answers, in 100 % of 42 by the base" in verdict.sentence


def test_no_gain_or_few_commits_or_a_higher_loss_are_refused() -> None:
    assert "no significant gain" in judge(pairs((3, WRONG, EXACT), (3, EXACT, WRONG), (74, WRONG, WRONG))).sentence
    assert "6 commits were held out" in judge([], commits=6).sentence
    assert "its loss of" in judge([], HeldOutLoss(1.0, 1.0, "held-out edits")).sentence


def test_answers_that_change_other_lines_or_leak_secrets_are_refused() -> None:
    gain = (40, WRONG, EXACT), (160, WRONG, WRONG)
    spread = judge(pairs(*gain, spread=True))
    assert not spread.is_passed
    assert (
        "other lines: of 200 edits that both change, 0 no longer change other lines and 200 now do" in spread.sentence
    )
    leaked = judge(pairs(*gain, text='token = "ghp_' + "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8" + '"'))
    assert [guard.name for guard in leaked.guards if not guard.is_passed] == ["secrets"]
    copied = judge(pairs(*gain, text="import os\n" * 20))
    assert [guard.name for guard in copied.guards if not guard.is_passed] == ["copied text"]
