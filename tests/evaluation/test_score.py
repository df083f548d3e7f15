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


def test_exact_is_the_whole_text_without_blanks_around_it() -> None:
    assert score.is_exact("\n  a = 1\n  b = 2 ", "a = 1\n  b = 2")
    assert not score.is_exact("a = 1", "a = 1\nb = 2")
    assert not score.is_exact("a  = 1", "a = 1")


@pytest.mark.parametrize(
    ("suggestion", "truth", "f1"),
    [
        ("total = price * tax", "total = price * tax", 1.0),
        ("total = price", "total = price * tax", 0.8),
        ("if total: return price", "while price: yield total", 1.0),
        ("name('total')", "name(total)", 2 / 3),
        ("", "total", 0.0),
        ("größe", "größe", 1.0),
        ("3", "return 3", None),
    ],
)
def test_names_are_compared_as_sets_without_strings_and_keywords(suggestion: str, truth: str, f1: float | None) -> None:
    found = score.identifier_f1(suggestion, truth)
    assert found is None if f1 is None else found == pytest.approx(f1)


@pytest.mark.parametrize(("suggestion", "kept"), [("", 0), ("abc", 3), ("abcd", 3), ("xabc", 0), ("ab", 2)])
def test_kept_is_what_is_right_from_the_start(suggestion: str, kept: int) -> None:
    assert score.kept_chars(suggestion, "abc") == kept


def test_interval_of_a_quantile_holds_the_truth_19_times_in_20() -> None:
    rng, inside = random.Random(3), 0
    for _ in range(400):
        found = score.quantile([rng.expovariate(1.0) for _ in range(80)], 0.5)
        inside += found.low <= 0.6931 <= found.high
    assert 0.92 < inside / 400 < 0.99


def test_quantile_is_a_value_that_was_measured() -> None:
    values = [5.0, 1.0, 3.0, 2.0, 4.0]
    assert [score.quantile(values, which).value for which in (0.2, 0.5, 0.9, 0.99)] == [1.0, 3.0, 5.0, 5.0]
    assert score.quantile([], 0.5).value == 0.0


def test_interval_of_a_mean_of_few_holds_the_truth_19_times_in_20() -> None:
    rng, inside = random.Random(5), 0
    for _ in range(1000):
        found = score.mean([rng.gauss(3.0, 2.0) for _ in range(4)])
        inside += found.low <= 3.0 <= found.high
    assert 0.92 < inside / 1000 < 0.98
