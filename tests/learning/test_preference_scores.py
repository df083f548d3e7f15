from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from preference_ids import random_data
from starcoder_ls.learning.preference_ids import JudgedIds, PairIds
from starcoder_ls.learning.preference_scores import completion_log_probabilities, log_probabilities, score
from training_fixtures import load_base

PAIR = PairIds((1,), (2,), (3,), "")


def test_log_probability_is_the_sum_over_the_completion(starcoder: Path) -> None:
    model, _, _ = load_base(starcoder)
    examples = [((30, 31, 32), (40, 41)), ((50,), (60,))]  # of different lengths, so one is padded
    expected = []
    for prompt, completion in examples:
        with torch.no_grad():
            rows = model(input_ids=torch.tensor([prompt + completion])).logits[0].log_softmax(-1)
        expected.append(sum(float(rows[len(prompt) - 1 + n, id_]) for n, id_ in enumerate(completion)))
    assert completion_log_probabilities(model, examples) == pytest.approx(expected, abs=1e-3)


def test_pairs_have_two_log_probabilities_and_suggestions_one(starcoder: Path) -> None:
    model, _, _ = load_base(starcoder)
    for loss, count in (("dpo", 2), ("kto", 1)):
        values = log_probabilities(model, random_data(loss).training)
        assert [len(value) for value in values] == [count] * 8


def test_untrained_model_has_the_loss_of_ignorance() -> None:
    assert score([PAIR], [(-1.0, -2.0)], [(-1.0, -2.0)], 0.1).loss == pytest.approx(math.log(2))
    judged = JudgedIds((1,), (2,), True, "")
    untrained = score([judged], [(-1.0,)], [(-1.0,)], 0.1)
    assert (untrained.loss, untrained.agreement) == (0.5, 0.5)


def test_agreement_with_a_pair_is_about_what_is_more_probable_now() -> None:
    assert score([PAIR], [(-3.0, -2.0)], [(-2.5, -2.2)], 0.1).agreement == 0
    assert score([PAIR], [(-3.0, -2.0)], [(-2.1, -2.2)], 0.1).agreement == 1


@pytest.mark.parametrize(("is_desirable", "now"), [(True, -1.0), (False, -3.0)])
def test_agreement_with_a_judged_suggestion_is_about_its_change(is_desirable: bool, now: float) -> None:
    learned = score([JudgedIds((1,), (2,), is_desirable, "")], [(-2.0,)], [(now,)], 0.1)
    assert learned.agreement == 1
    assert learned.loss == pytest.approx(1 - 1 / (1 + math.exp(-0.1)))
