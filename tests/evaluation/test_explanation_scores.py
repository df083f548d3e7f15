from __future__ import annotations

import pytest

from starcoder_ls.evaluation import explanation_scores

REFERENCES = ["Return the size of the file in bytes.", "Read all rows and close the store again."]


@pytest.mark.parametrize(
    ("text", "reference", "f1"),
    [
        ("return the size", "Return the size.", 1.0),
        ("the the the", "the size", 2 * 1 / 5),
        ("", "the size", 0.0),
        ("other words", "the size", 0.0),
    ],
)
def test_word_f1_ignores_case_and_counts_repetitions(text: str, reference: str, f1: float) -> None:
    assert explanation_scores.word_f1(text, reference) == pytest.approx(f1)


def test_references_score_one_and_names_less() -> None:
    perfect = explanation_scores.score_explanations(REFERENCES, REFERENCES)
    assert perfect.bleu == pytest.approx(1.0)
    assert perfect.f1.value == 1.0
    names = explanation_scores.score_explanations(["size", "read all"], REFERENCES)
    assert names.bleu < 0.1
    assert 0 < names.f1.value < 0.6
