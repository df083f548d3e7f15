from __future__ import annotations

import math

import pytest
import torch

from starcoder_ls.engine.cuda_graphs.verification import excessive_difference
from starcoder_ls.engine.logits import Logits


@pytest.mark.parametrize(("dtype", "allowed"), [(torch.float64, 1e-6), (torch.float32, 1e-2), (torch.bfloat16, 0.3)])
def test_allowed_difference_depends_on_the_type(dtype: torch.dtype, allowed: float) -> None:
    expected = torch.tensor([[-1.0, 0.0, 1.0]], dtype=torch.float64)  # their standard deviation is 1
    for share, is_excessive in ((0.9, False), (1.1, True)):
        found = expected.clone()
        found[0, 1] += share * allowed
        difference = excessive_difference([Logits(found)], [expected], dtype)
        assert (difference is not None) is is_excessive
        assert difference is None or math.isclose(difference, share * allowed)


def test_logits_that_are_not_numbers_are_an_excessive_difference() -> None:
    expected = torch.tensor([[0.0, 1.0]])
    difference = excessive_difference([Logits(torch.full((1, 2), math.nan))], [expected], torch.float32)
    assert difference is not None
    assert math.isnan(difference)
