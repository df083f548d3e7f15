"""tests/engine/loading/test_load_model.py damages whole checkpoints; here is what each of the checks says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from starcoder_ls.engine.loading.checkpoint import Checkpoint, read_checkpoint
from starcoder_ls.engine.loading.weight_check import require_all, require_finite
from starcoder_ls.errors import ModelInvalid

FINE: dict[str, Any] = {"missing_keys": set(), "unexpected_keys": set(), "mismatched_keys": set()}


@pytest.fixture
def checkpoint(starcoder: Path) -> Checkpoint:
    return read_checkpoint(starcoder)


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("missing_keys", "lacks weights: 2 tensors, such as a.weight"),
        ("unexpected_keys", "has no place for: 2 tensors, such as a.weight"),
        ("mismatched_keys", "of another shape than its config says: 2 tensors, such as a.weight"),
    ],
)
def test_keys_that_do_not_fit_are_named(kind: str, said: str, checkpoint: Checkpoint) -> None:
    with pytest.raises(ModelInvalid, match=said):
        require_all(FINE | {kind: {"b.weight", "a.weight"}}, checkpoint)


def test_masks_of_old_conversions_are_no_weights(checkpoint: Checkpoint) -> None:
    require_all(FINE | {"unexpected_keys": {"h.0.attn.bias", "h.0.attn.masked_bias"}}, checkpoint)
    with pytest.raises(ModelInvalid):
        require_all(FINE | {"missing_keys": {"h.0.attn.bias"}}, checkpoint)


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_one_number_that_is_not_finite_is_found(value: float, checkpoint: Checkpoint) -> None:
    model = torch.nn.Linear(3, 4)
    require_finite(model, checkpoint)
    model.weight.data[3, 1] = value
    with pytest.raises(ModelInvalid, match="holds weight, which is not finite"):
        require_finite(model, checkpoint)


def test_what_is_on_no_device_or_empty_is_passed_over(checkpoint: Checkpoint) -> None:
    require_finite(torch.nn.Linear(3, 4, device="meta"), checkpoint)
    require_finite(torch.nn.ParameterList([torch.empty(0)]), checkpoint)
