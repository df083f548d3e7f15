from __future__ import annotations

import pytest

from starcoder_ls.evaluation import explanation_scores

TRUTH = ["Return the size of the file in bytes.", "Read all rows and close the store again."]


@pytest.mark.parametrize(
    ("said", "truth", "f1"),
    [
        ("return the size", "Return the size.", 1.0),
        ("the the the", "the size", 2 * 1 / 5),
        ("", "the size", 0.0),
        ("other words", "the size", 0.0),
    ],
)
def test_words_are_compared_without_case_and_counted_once_each(said: str, truth: str, f1: float) -> None:
    assert explanation_scores.word_f1(said, truth) == pytest.approx(f1)


def test_the_truth_scores_one_and_the_name_less() -> None:
    perfect = explanation_scores.scores(TRUTH, TRUTH)
    assert perfect.bleu == pytest.approx(1.0)
    assert perfect.f1.value == 1.0
    names = explanation_scores.scores(["size", "read all"], TRUTH)
    assert names.bleu < 0.1
    assert 0 < names.f1.value < 0.6
