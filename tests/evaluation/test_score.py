import random

import pytest

from starcoder_ls.evaluation import score


@pytest.mark.parametrize(
    ("suggestion", "truth", "is_match"),
    [("x + 1", " x + 1", True), ("\n    a = 1\nb", "a = 1\nc = 2", True), ("x", "x + 1", False), ("", "x", False)],
)
def test_first_line_match_ignores_surrounding_blanks(suggestion: str, truth: str, is_match: bool) -> None:
    assert score.is_first_line_match(suggestion, truth) is is_match


def test_edit_similarity_is_from_zero_to_one() -> None:
    assert score.edit_similarity(" abc", "abc\n") == 1.0
    assert score.edit_similarity("", "abc") == 0.0
    assert 0.5 < score.edit_similarity("abcd", "abxd") < 1.0


def test_interval_of_a_proportion_covers_the_true_value_in_95_percent() -> None:
    rng, covered = random.Random(0), 0
    for _ in range(400):
        estimate = score.estimate_proportion([rng.random() < 0.1 for _ in range(200)])
        covered += estimate.low <= 0.1 <= estimate.high
    assert 0.92 < covered / 400 < 0.985


def test_interval_of_a_zero_proportion_is_not_empty() -> None:
    estimate = score.estimate_proportion([False] * 20)
    assert estimate.value == estimate.low == 0.0
    assert estimate.high > 0.1


def test_mean_lies_within_its_interval() -> None:
    estimate = score.estimate_mean([0.0, 1.0] * 50)
    assert estimate.low < estimate.value == 0.5 < estimate.high
    assert str(estimate).startswith("50.0 (")


def test_exact_match_ignores_surrounding_blanks_only() -> None:
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
def test_identifier_f1_ignores_strings_and_keywords(suggestion: str, truth: str, f1: float | None) -> None:
    assert score.identifier_f1(suggestion, truth) == (None if f1 is None else pytest.approx(f1))


@pytest.mark.parametrize(("suggestion", "count"), [("", 0), ("abc", 3), ("abcd", 3), ("xabc", 0), ("ab", 2)])
def test_kept_chars_are_the_correct_ones_from_the_start(suggestion: str, count: int) -> None:
    assert score.count_kept_chars(suggestion, "abc") == count


def test_interval_of_a_quantile_covers_the_true_value_in_95_percent() -> None:
    rng, covered = random.Random(3), 0
    for _ in range(400):
        estimate = score.estimate_quantile([rng.expovariate(1.0) for _ in range(80)], 0.5)
        covered += estimate.low <= 0.6931 <= estimate.high
    assert 0.92 < covered / 400 < 0.99


def test_quantile_is_one_of_the_values() -> None:
    values = [5.0, 1.0, 3.0, 2.0, 4.0]
    assert [score.estimate_quantile(values, share).value for share in (0.2, 0.5, 0.9, 0.99)] == [1.0, 3.0, 5.0, 5.0]
    assert score.estimate_quantile([], 0.5).value == 0.0


def test_interval_of_a_mean_of_four_covers_the_true_value_in_95_percent() -> None:
    rng, covered = random.Random(5), 0
    for _ in range(1000):
        estimate = score.estimate_mean([rng.gauss(3.0, 2.0) for _ in range(4)])
        covered += estimate.low <= 3.0 <= estimate.high
    assert 0.92 < covered / 1000 < 0.98
