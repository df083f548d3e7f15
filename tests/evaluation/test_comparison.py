from __future__ import annotations

import re
from pathlib import Path

import pytest

from repositories import SHOP, repository, run_of
from starcoder_ls.errors import SettingsError
from starcoder_ls.evaluation import comparison
from starcoder_ls.evaluation.comparison import pair_holes
from starcoder_ls.evaluation.results import Run

NAMES = ("before.json", "after.json")


@pytest.fixture
def gold(tmp_path: Path) -> Run:
    """Right answers everywhere. Creates the repository that other runs of a test use."""
    return run_of(repository(tmp_path), lambda hole: hole.middle)


@pytest.fixture
def no_answers(gold: Run) -> Run:
    """The same holes without an answer."""
    scores = {"has_answer": False, "is_exact": False, "is_first_line_match": False, "edit_similarity": 0.0}
    rest = {"identifier_f1": 0.0, "kept_chars": 0, "shown_chars": 0, "texts": None}
    return gold.model_copy(update={"holes": [hole.model_copy(update=scores | rest) for hole in gold.holes]})


def test_significant_improvement_is_stated_with_figures(gold: Run, no_answers: Run) -> None:
    verdict = comparison.compute_verdict(pair_holes(no_answers, gold, NAMES))
    assert (verdict.better, verdict.worse, verdict.is_significant) == (len(gold.holes), 0, True)
    sentence = verdict.sentence(*NAMES)
    assert sentence.startswith(
        "after.json is better than before.json: 100.0 % of first lines right against 0.0 %, +100.0"
    )
    assert re.search(r", p (= 0\.0|< 0\.0001)", sentence)
    assert verdict.ratio is None


def test_significant_deterioration_is_stated_with_figures(gold: Run, no_answers: Run) -> None:
    verdict = comparison.compute_verdict(pair_holes(gold, no_answers, NAMES))
    assert verdict.sentence(*NAMES).startswith("after.json is worse than before.json: 0.0 %")
    assert ", 0.00 times (0.00 to 0.00)" in verdict.sentence(*NAMES)


def test_run_does_not_differ_from_itself(gold: Run) -> None:
    verdict = comparison.compute_verdict(pair_holes(gold, gold, NAMES))
    assert (verdict.p, verdict.is_significant) == (1.0, False)
    assert verdict.sentence(*NAMES).startswith("No significant difference")
    assert "1.00 times as long" in verdict.latency_sentence("after.json")
    assert not any(row.is_significant for row in comparison.compare_measures(pair_holes(gold, gold, NAMES)))


def test_few_better_holes_are_not_significant(gold: Run, no_answers: Run) -> None:
    few = gold.model_copy(update={"holes": [*gold.holes[:3], *no_answers.holes[3:]]})
    verdict = comparison.compute_verdict(pair_holes(no_answers, few, NAMES))
    assert verdict.better == 3
    assert not verdict.is_significant
    assert "No significant difference" in verdict.sentence(*NAMES)


def test_measures_are_compared_by_kind_and_overall(gold: Run, no_answers: Run) -> None:
    rows = list(comparison.compare_measures(pair_holes(no_answers, gold, NAMES)))
    assert [row.group for row in rows[::6]] == ["single-line", "rest of line", "block", "random span", "all"]
    last = {row.measure.name: row for row in rows[-6:]}
    assert last["first line"].difference.value == last["exact"].difference.value == 1.0
    assert last["no answer"].difference.value == -1.0
    assert last["kept"].second == sum(hole.shown_chars for hole in gold.holes) / len(gold.holes)
    assert 0 < last["names F1"].count <= len(gold.holes)


def test_holes_are_paired_regardless_of_order(gold: Run, no_answers: Run) -> None:
    reordered = gold.model_copy(update={"holes": gold.holes[::-1]})
    assert all(first.id == second.id for first, second in pair_holes(no_answers, reordered, NAMES))


def test_different_holes_are_rejected_with_the_reason(gold: Run, tmp_path: Path) -> None:
    for other, reason in (
        (run_of(tmp_path, lambda _: "", seed=1), "their seeds are 0 and 1"),
        (run_of(tmp_path, lambda _: "", per_kind=2), "one run requested 4 of each kind, the other for 2"),
    ):
        with pytest.raises(SettingsError, match=f"not runs over the same holes.*({reason})"):
            pair_holes(gold, other, NAMES)


def test_runs_before_and_after_an_edit_are_rejected(gold: Run, tmp_path: Path) -> None:
    (tmp_path / "shop" / "shop.py").write_text(SHOP.replace("upper", "lower"))
    with pytest.raises(SettingsError, match="some files were changed in between"):
        pair_holes(gold, run_of(tmp_path, lambda _: ""), NAMES)


def test_runs_before_and_after_a_file_was_added_share_most_holes(gold: Run, tmp_path: Path) -> None:
    (tmp_path / "web" / "more.js").write_text("function total(items) {\n  return items.length;\n}\n")
    later = run_of(tmp_path, lambda hole: hole.middle)
    pairs = pair_holes(gold, later, NAMES)
    assert len(gold.holes) / 2 < len(pairs) < len(gold.holes)
    assert all(first.id == second.id for first, second in pairs)
    sentence = comparison.describe_unpaired(gold, later, pairs)
    assert sentence.startswith(f"Files were added or removed between the runs: {len(gold.holes) - len(pairs)} holes of")
    assert comparison.describe_unpaired(gold, gold, pair_holes(gold, gold, NAMES)) == ""


def test_runs_over_different_kinds_are_rejected(gold: Run) -> None:
    other = gold.model_copy(update={"holes": [hole for hole in gold.holes if hole.kind == "block"]})
    with pytest.raises(SettingsError, match="not runs over the same holes"):
        pair_holes(gold, other, NAMES)


def test_empty_runs_are_rejected(gold: Run) -> None:
    empty = gold.model_copy(update={"holes": []})
    with pytest.raises(SettingsError, match="not runs over the same holes"):
        pair_holes(empty, empty, NAMES)
