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


def test_figures_are_by_kind_and_over_all(run: Run) -> None:
    groups = summary.by_kind(run.holes)
    assert [group.name for group in groups] == ["single-line", "rest of line", "block", "random span", "all"]
    assert sum(len(group.holes) for group in groups[:-1]) == len(groups[-1].holes) == len(run.holes)
    means = groups[-1].means()
    right = sum(hole.language == "javascript" for hole in run.holes) / len(run.holes)
    assert 0 < right < 1
    assert means["exact"].value == means["first line"].value == pytest.approx(right)
    assert means["no answer"].value == pytest.approx(1 - right)
    assert means["exact"].low < right < means["exact"].high


def test_one_kind_alone_has_no_line_for_all(run: Run) -> None:
    lines = [hole for hole in run.holes if hole.kind is Kind.LINE]
    assert [group.name for group in summary.by_kind(lines)] == ["single-line"]


def test_figures_are_by_language_where_there_are_several(run: Run) -> None:
    groups = {(group.language, group.kind): group for group in summary.by_language(run.holes)}
    assert next(iter(groups)) == ("python", "")
    assert groups["javascript", ""].means()["exact"].value == 1.0
    assert groups["python", ""].means()["no answer"].value == 1.0
    assert groups["javascript", "block"].holes
    assert groups["javascript", "block"].is_part
    assert not groups["javascript", ""].is_part
    assert list(summary.by_language([hole for hole in run.holes if hole.language == "python"])) == []


def test_names_count_only_where_there_are_any(run: Run) -> None:
    names = next(measure for measure in summary.MEASURES if measure.name == "names F1")
    nameless = [hole.model_copy(update={"identifier_f1": None}) for hole in run.holes[1:]]
    assert names.mean([run.holes[0].model_copy(update={"identifier_f1": 1.0}), *nameless]).value == 1.0


def test_latency_is_by_quantile(run: Run) -> None:
    everything = summary.by_kind(run.holes)[-1]
    count = len(run.holes)
    found = everything.latency()
    assert found[0.5].value == pytest.approx(count / 2, abs=1)
    assert found[0.5].low < found[0.5].value < found[0.5].high
    assert found[0.99].value == count
