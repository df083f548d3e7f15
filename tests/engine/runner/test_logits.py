from __future__ import annotations

import math

import torch

from starcoder_ls.engine.runner.logits import Logits
from starcoder_ls.text_tokens.candidate import SampledToken

VALUES = torch.tensor([[0.0, 2.0, 1.0], [3.0, 0.0, 3.0], [0.0, 0.0, 5.0]])


def test_the_likeliest_is_found_when_asked_for() -> None:
    likeliest = Logits(VALUES).likeliest()
    assert [drawn.id for drawn in likeliest] == [1, 0, 2], "a tie goes to the lowest"
    assert math.isclose(likeliest[0].logprob, float(VALUES[0].log_softmax(-1)[1]), rel_tol=1e-6)


def test_what_was_told_already_is_believed_and_goes_with_its_rows() -> None:
    told = [SampledToken(7, -1.0), SampledToken(8, -2.0), SampledToken(9, -3.0)]
    logits = Logits(VALUES, told)
    assert list(logits.likeliest()) == told
    assert list(logits[1:].likeliest()) == told[1:]
    assert list(logits[2:3].repeated(2).likeliest()) == [told[2], told[2]]
    assert torch.equal(logits[1:].values, VALUES[1:])


def test_rows_can_be_repeated_for_candidates() -> None:
    twice = Logits(VALUES[:1]).repeated(2)
    assert len(twice) == 2
    assert [drawn.id for drawn in twice.likeliest()] == [1, 1]


def test_values_on_the_host_are_not_copied() -> None:
    assert Logits(VALUES).on_host() is VALUES
