from __future__ import annotations

from pathlib import Path

import pytest

from repositories import repository, run_of
from starcoder_ls.evaluation import summary
from starcoder_ls.evaluation.holes import Kind
from starcoder_ls.evaluation.results import Run


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """JavaScript holes are filled right, the others not at all."""
    return run_of(repository(tmp_path), lambda hole: hole.middle if hole.source.path.endswith("js") else "", 12)


def test_holes_are_grouped_by_kind_and_overall(run: Run) -> None:
    groups = summary.group_by_kind(run.holes)
    assert [group.name for group in groups] == ["single-line", "rest of line", "block", "random span", "all"]
    assert sum(len(group.holes) for group in groups[:-1]) == len(groups[-1].holes) == len(run.holes)
    estimates = groups[-1].estimates()
    right = sum(hole.language == "javascript" for hole in run.holes) / len(run.holes)
    assert 0 < right < 1
    assert estimates["exact"].value == estimates["first line"].value == pytest.approx(right)
    assert estimates["no answer"].value == pytest.approx(1 - right)
    assert estimates["exact"].low < right < estimates["exact"].high


def test_single_kind_has_no_group_of_all_holes(run: Run) -> None:
    lines = [hole for hole in run.holes if hole.kind is Kind.LINE]
    assert [group.name for group in summary.group_by_kind(lines)] == ["single-line"]


def test_holes_are_grouped_by_language_if_there_are_several(run: Run) -> None:
    groups = {(group.language, group.kind): group for group in summary.group_by_language(run.holes)}
    assert next(iter(groups)) == ("python", "")
    assert groups["javascript", ""].estimates()["exact"].value == 1.0
    assert groups["python", ""].estimates()["no answer"].value == 1.0
    assert groups["javascript", "block"].holes
    assert groups["javascript", "block"].is_subgroup
    assert not groups["javascript", ""].is_subgroup
    assert list(summary.group_by_language([hole for hole in run.holes if hole.language == "python"])) == []


def test_identifier_score_skips_holes_without_identifiers(run: Run) -> None:
    names = next(measure for measure in summary.MEASURES if measure.name == "names F1")
    nameless = [hole.model_copy(update={"identifier_f1": None}) for hole in run.holes[1:]]
    assert names.estimate([run.holes[0].model_copy(update={"identifier_f1": 1.0}), *nameless]).value == 1.0


def test_latencies_are_by_quantile(run: Run) -> None:
    all_holes = summary.group_by_kind(run.holes)[-1]
    count = len(run.holes)
    latencies = all_holes.latencies()
    assert latencies[0.5].value == pytest.approx(count / 2, abs=1)
    assert latencies[0.5].low < latencies[0.5].value < latencies[0.5].high
    assert latencies[0.99].value == count
