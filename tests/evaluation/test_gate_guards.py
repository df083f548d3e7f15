from __future__ import annotations

from pathlib import Path

import pytest

from repositories import repository
from scored_pairs import pairs_of, scored_hole
from starcoder_ls.evaluation import gate_guards, results
from starcoder_ls.evaluation.comparison import Pair
from starcoder_ls.evaluation.holes import Kind
from starcoder_ls.evaluation.repository import Repository

SECRET = "ghp_" + "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8"


def test_one_kind_that_gets_worse_is_found_among_others_that_get_better() -> None:
    good = pairs_of(30, 2, 20)
    assert gate_guards.check_kinds(good).is_passed
    guard = gate_guards.check_kinds([*good, *pairs_of(1, 14, 20, kind=Kind.BLOCK)])
    assert not guard.is_passed
    assert guard.sentence == "worse: block (1 became right, 14 wrong)"


@pytest.mark.parametrize(
    ("better", "worse", "is_passed"), [(0, 0, True), (2, 5, True), (0, 4, True), (0, 5, False), (1, 12, False)]
)
def test_other_code_may_lose_two_points_at_most(better: int, worse: int, is_passed: bool) -> None:
    guard = gate_guards.check_foreign(pairs_of(better, worse, 200 - better - worse))
    assert guard.is_passed is is_passed


def timed_pairs(ratio: float) -> list[Pair]:
    return [
        (scored_hole(n, True, elapsed_ms=10 + n), scored_hole(n, True, elapsed_ms=(10 + n) * ratio)) for n in range(20)
    ]


def test_time_may_grow_by_three_tenths() -> None:
    assert gate_guards.check_latency(timed_pairs(1.25)).is_passed
    guard = gate_guards.check_latency(timed_pairs(1.5))
    assert not guard.is_passed
    assert "1.50 times" in guard.sentence
    assert gate_guards.check_latency(
        [(scored_hole(0, True, elapsed_ms=0), scored_hole(0, True, elapsed_ms=0))]
    ).is_passed


def answered(first: str, second: str, truth: str = "") -> list[Pair]:
    """A hundred holes, of which one has these answers."""
    plain = [(scored_hole(n, True, suggestion="x = 1"), scored_hole(n, True, suggestion="x = 1")) for n in range(99)]
    return [
        *plain,
        (scored_hole(99, True, suggestion=first, truth=truth), scored_hole(99, True, suggestion=second, truth=truth)),
    ]


def test_answers_with_secrets_are_found_unless_the_base_has_them_too() -> None:
    masked = 'TOKEN = "' + "x" * 40 + '"'
    assert not gate_guards.check_secrets(answered("", masked)).is_passed
    assert gate_guards.check_secrets(answered(masked, masked)).is_passed
    assert gate_guards.check_secrets(answered("", masked, truth=masked)).is_passed


def test_secrets_are_found_although_results_have_only_their_masks(tmp_path: Path) -> None:
    (hole,) = Repository([repository(tmp_path)]).draw_holes([Kind.LINE], 1, 0)
    plain, login = (
        results.score_hole(hole, "a.py", "python", text, 1.0) for text in ("login(key)", f'login("{SECRET}")')
    )
    assert SECRET not in login.model_dump_json()
    assert not gate_guards.check_secrets([(plain, login)]).is_passed
    assert gate_guards.check_secrets([(plain, plain), (login, login)]).is_passed


def test_copied_passages_are_found_whatever_their_indentation() -> None:
    passage = "\n".join(f"    total_{number} = prices[{number}] * amounts[{number}]" for number in range(6))
    training = [f"def f(prices, amounts):\n{passage}\n", "import os\n"]
    copied = answered("", passage.replace("    ", "\t"))
    assert gate_guards.check_copies(copied, training).is_passed, "one in a hundred"
    guard = gate_guards.check_copies([*copied[49:], *copied[-1:]], training)
    assert not guard.is_passed
    assert guard.sentence.startswith("2 answers repeat")
    assert gate_guards.check_copies([*answered(passage, passage)] * 3, training).is_passed
    assert gate_guards.check_copies([*answered("", passage, truth=passage)] * 3, training).is_passed
    assert gate_guards.check_copies([*answered("", passage)] * 3, ["import os\n"]).is_passed
