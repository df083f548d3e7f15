from __future__ import annotations

import math

import pytest
import torch

from no_float64 import NoFloat64
from starcoder_ls.engine import logits as logits_module
from starcoder_ls.engine.logits import Logits, select_greedy
from starcoder_ls.text_tokens.candidate import SampledToken

VALUES = torch.tensor([[0.0, 2.0, 1.0], [3.0, 0.0, 3.0], [0.0, 0.0, 5.0]])


def test_greedy_computes_the_most_likely_token_of_each_row() -> None:
    greedy = Logits(VALUES).greedy()
    assert [token.id for token in greedy] == [1, 0, 2], "a tie goes to the lowest"
    assert math.isclose(greedy[0].logprob, float(VALUES[0].log_softmax(-1)[1]), rel_tol=1e-6)


def test_given_greedy_tokens_are_used_and_sliced_with_their_rows() -> None:
    known = [SampledToken(7, -1.0), SampledToken(8, -2.0), SampledToken(9, -3.0)]
    logits = Logits(VALUES, known)
    assert list(logits.greedy()) == known
    assert list(logits[1:].greedy()) == known[1:]
    assert list(logits[2:3].repeat(2).greedy()) == [known[2], known[2]]
    assert torch.equal(logits[1:].values, VALUES[1:])


def test_repeat_repeats_the_row_for_each_candidate() -> None:
    twice = Logits(VALUES[:1]).repeat(2)
    assert len(twice) == 2
    assert [token.id for token in twice.greedy()] == [1, 1]


def test_on_cpu_does_not_copy_values_that_are_on_the_cpu() -> None:
    assert Logits(VALUES).on_cpu() is VALUES


def test_greedy_tokens_of_a_device_are_those_of_a_cpu_without_float64() -> None:
    values = torch.randn(5, 50_000, generator=torch.Generator().manual_seed(1))
    values[2, [7, 49_000]] = 9.0
    with NoFloat64():
        found = logits_module._select_greedy_on_device(values)
    expected = select_greedy(values)
    assert [token.id for token in found] == [token.id for token in expected]
    assert [token.logprob for token in found] == pytest.approx([token.logprob for token in expected], abs=1e-5)


def test_device_without_float64_refuses_what_mps_refuses() -> None:
    """The test above could fail."""
    with NoFloat64(), pytest.raises(TypeError, match="float64"):
        VALUES.argmax(-1).double()
    with NoFloat64(), pytest.raises(TypeError, match="float64"):
        torch.searchsorted(VALUES[0], 0.5)
