from __future__ import annotations

import re
from pathlib import Path

import pytest

from repositories import SHOP, repository, run_of
from starcoder_ls.errors import SettingsError
from starcoder_ls.evaluation import comparison
from starcoder_ls.evaluation.comparison import paired
from starcoder_ls.evaluation.results import Run

NAMES = ("before.json", "after.json")


@pytest.fixture
def gold(tmp_path: Path) -> Run:
    """Also makes the repository that other runs of a test are over."""
    return run_of(repository(tmp_path), lambda hole: hole.middle)


@pytest.fixture
def silence(gold: Run) -> Run:
    """The same holes without an answer."""
    nothing = {"has_answer": False, "is_exact": False, "is_first_line_match": False, "edit_similarity": 0.0}
    rest = {"identifier_f1": 0.0, "kept_chars": 0, "shown_chars": 0, "texts": None}
    return gold.model_copy(update={"holes": [hole.model_copy(update=nothing | rest) for hole in gold.holes]})


def test_better_by_more_than_chance_is_said_with_figures(gold: Run, silence: Run) -> None:
    verdict = comparison.verdict(paired(silence, gold, NAMES))
    assert (verdict.better, verdict.worse, verdict.is_certain) == (len(gold.holes), 0, True)
    said = verdict.sentence(*NAMES)
    assert said.startswith("after.json is better than before.json: 100.0 % of first lines right against 0.0 %, +100.0")
    assert re.search(r", p (= 0\.0|< 0\.0001)", said)
    assert verdict.ratio is None


def test_worse_is_said_too(gold: Run, silence: Run) -> None:
    verdict = comparison.verdict(paired(gold, silence, NAMES))
    assert verdict.sentence(*NAMES).startswith("after.json is worse than before.json: 0.0 %")
    assert ", 0.00 times (0.00 to 0.00)" in verdict.sentence(*NAMES)


def test_the_same_run_differs_by_nothing(gold: Run) -> None:
    verdict = comparison.verdict(paired(gold, gold, NAMES))
    assert (verdict.p, verdict.is_certain) == (1.0, False)
    assert verdict.sentence(*NAMES).startswith("No difference beyond chance")
    assert "1.00 times as long" in verdict.latency_sentence("after.json")
    assert not any(row.is_certain for row in comparison.compared(paired(gold, gold, NAMES)))


def test_a_few_better_holes_may_be_chance(gold: Run, silence: Run) -> None:
    few = gold.model_copy(update={"holes": [*gold.holes[:3], *silence.holes[3:]]})
    verdict = comparison.verdict(paired(silence, few, NAMES))
    assert verdict.better == 3
    assert not verdict.is_certain
    assert "No difference beyond chance" in verdict.sentence(*NAMES)


def test_every_measure_is_compared_by_kind_and_over_all(gold: Run, silence: Run) -> None:
    rows = list(comparison.compared(paired(silence, gold, NAMES)))
    assert [row.group for row in rows[::6]] == ["single-line", "rest of line", "block", "random span", "all"]
    last = {row.measure.name: row for row in rows[-6:]}
    assert last["first line"].difference.value == last["exact"].difference.value == 1.0
    assert last["no answer"].difference.value == -1.0
    assert last["kept"].second == sum(hole.shown_chars for hole in gold.holes) / len(gold.holes)
    assert 0 < last["names F1"].count <= len(gold.holes)


def test_pairs_are_found_whatever_their_order(gold: Run, silence: Run) -> None:
    turned = gold.model_copy(update={"holes": gold.holes[::-1]})
    assert all(first.id == second.id for first, second in paired(silence, turned, NAMES))


def test_runs_over_different_holes_are_refused_with_the_reason(gold: Run, tmp_path: Path) -> None:
    for other, why in (
        (run_of(tmp_path, lambda _: "", seed=1), "their seeds are 0 and 1"),
        (run_of(tmp_path, lambda _: "", per_kind=2), "one asked for 4 of each kind, the other for 2"),
        (run_of(tmp_path / "web", lambda _: ""), "no file in common|were changed"),
    ):
        with pytest.raises(SettingsError, match=f"not runs over the same holes.*({why})"):
            paired(gold, other, NAMES)


def test_runs_before_and_after_an_edit_are_refused(gold: Run, tmp_path: Path) -> None:
    (tmp_path / "shop" / "shop.py").write_text(SHOP.replace("upper", "lower"))
    with pytest.raises(SettingsError, match="some files were changed in between"):
        paired(gold, run_of(tmp_path, lambda _: ""), NAMES)


def test_empty_runs_are_refused(gold: Run) -> None:
    empty = gold.model_copy(update={"holes": []})
    with pytest.raises(SettingsError, match="not runs over the same holes"):
        paired(empty, empty, NAMES)
