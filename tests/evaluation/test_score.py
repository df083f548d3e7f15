import random

import pytest

from starcoder_ls.evaluation import score


@pytest.mark.parametrize(
    ("suggestion", "truth", "is_match"),
    [("x + 1", " x + 1", True), ("\n    a = 1\nb", "a = 1\nc = 2", True), ("x", "x + 1", False), ("", "x", False)],
)
def test_first_line_is_compared_without_its_blanks(suggestion: str, truth: str, is_match: bool) -> None:
    assert score.is_first_line_match(suggestion, truth) is is_match


def test_edit_similarity_runs_from_nothing_to_one() -> None:
    assert score.edit_similarity(" abc", "abc\n") == 1.0
    assert score.edit_similarity("", "abc") == 0.0
    assert 0.5 < score.edit_similarity("abcd", "abxd") < 1.0


def test_interval_of_a_share_holds_the_truth_19_times_in_20() -> None:
    rng, inside = random.Random(0), 0
    for _ in range(400):
        found = score.share([rng.random() < 0.1 for _ in range(200)])
        inside += found.low <= 0.1 <= found.high
    assert 0.92 < inside / 400 < 0.985


def test_interval_of_a_share_is_never_nothing() -> None:
    none = score.share([False] * 20)
    assert none.value == none.low == 0.0
    assert none.high > 0.1


def test_mean_has_an_interval_around_it() -> None:
    found = score.mean([0.0, 1.0] * 50)
    assert found.low < found.value == 0.5 < found.high
    assert str(found).startswith("50.0 (")
