from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from starcoder_ls.learning.finetuning import output_loss


@pytest.mark.parametrize(("is_narrow", "tolerance"), [(False, 1e-5), (True, 0.02)])
@pytest.mark.parametrize("tokens", [1, 300])
def test_losses_and_gradients_equal_those_of_float32(tokens: int, is_narrow: bool, tolerance: float) -> None:
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(tokens, 16, generator=generator, requires_grad=True)
    weight, targets = torch.randn(50, 16, generator=generator), torch.randint(50, (tokens,), generator=generator)
    weights = torch.rand(tokens, generator=generator)
    expected = functional.cross_entropy(hidden @ weight.t(), targets, reduction="none")
    with torch.autocast("cpu", torch.bfloat16, enabled=is_narrow):
        found = output_loss.target_losses(hidden, weight, targets)
    torch.testing.assert_close(found, expected, rtol=tolerance, atol=2.5 * tolerance)
    gradients = [torch.autograd.grad((losses * weights).sum(), hidden)[0] for losses in (found, expected)]
    assert float((gradients[0] - gradients[1]).norm() / gradients[1].norm()) < tolerance


def test_losses_are_those_of_a_pass_without_gradients() -> None:
    generator = torch.Generator().manual_seed(0)
    hidden, weight = torch.randn(5, 16, generator=generator), torch.randn(50, 16, generator=generator)
    targets = torch.randint(50, (5,), generator=generator)
    with torch.no_grad():
        measured = output_loss.target_losses(hidden, weight, targets)
    assert torch.equal(measured, output_loss.target_losses(hidden.requires_grad_(), weight, targets))


def test_output_layer_that_is_trained_or_has_a_bias_is_computed_otherwise() -> None:
    frozen = torch.nn.Linear(4, 8, bias=False).requires_grad_(False)
    assert output_loss.can_compute(frozen)
    assert not output_loss.can_compute(torch.nn.Linear(4, 8, bias=False))
    assert not output_loss.can_compute(torch.nn.Linear(4, 8).requires_grad_(False))
    assert not output_loss.can_compute(frozen.to("meta"))
