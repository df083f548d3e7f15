from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from starcoder_ls.engine.loading.checkpoint import Checkpoint, read_checkpoint
from starcoder_ls.engine.loading.weight_check import require_finite, require_matching_keys
from starcoder_ls.errors import ModelInvalid

NO_PROBLEMS: dict[str, Any] = {"missing_keys": set(), "unexpected_keys": set(), "mismatched_keys": set()}


@pytest.fixture
def checkpoint(starcoder: Path) -> Checkpoint:
    return read_checkpoint(starcoder)


@pytest.mark.parametrize(
    ("key", "problem"),
    [
        ("missing_keys", "lacks weights: 2 tensors, such as a.weight"),
        ("unexpected_keys", "contains weights that its config does not use: 2 tensors, such as a.weight"),
        ("mismatched_keys", "whose shape differs from its config: 2 tensors, such as a.weight"),
    ],
)
def test_key_that_does_not_match_is_named(key: str, problem: str, checkpoint: Checkpoint) -> None:
    with pytest.raises(ModelInvalid, match=problem):
        require_matching_keys(NO_PROBLEMS | {key: {"b.weight", "a.weight"}}, checkpoint)


def test_buffers_of_old_conversions_are_ignored(checkpoint: Checkpoint) -> None:
    require_matching_keys(NO_PROBLEMS | {"unexpected_keys": {"h.0.attn.bias", "h.0.attn.masked_bias"}}, checkpoint)
    with pytest.raises(ModelInvalid):
        require_matching_keys(NO_PROBLEMS | {"missing_keys": {"h.0.attn.bias"}}, checkpoint)


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_single_non_finite_value_is_found(value: float, checkpoint: Checkpoint) -> None:
    model = torch.nn.Linear(3, 4)
    require_finite(model, checkpoint)
    model.weight.data[3, 1] = value
    with pytest.raises(ModelInvalid, match="contains weight, which is not finite"):
        require_finite(model, checkpoint)


def test_weights_on_the_meta_device_and_empty_ones_are_skipped(checkpoint: Checkpoint) -> None:
    require_finite(torch.nn.Linear(3, 4, device="meta"), checkpoint)
    require_finite(torch.nn.ParameterList([torch.empty(0)]), checkpoint)
