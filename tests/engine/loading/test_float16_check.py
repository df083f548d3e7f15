from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from starcoder_ls.engine.generation.loaded_model import LoadedModel
from starcoder_ls.engine.loading.float16_check import has_finite_logits


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_logits_that_overflow_are_found(
    dtype: torch.dtype, starcoder: Path, doubled: Callable[[Path], LoadedModel]
) -> None:
    """Activations of 1e5 fit float32, and become infinite in float16."""
    model = doubled(starcoder).runner.model.to(dtype)
    assert has_finite_logits(model, range(20, 40))
    model.base_model.h[0].ln_2.weight.data.fill_(3e4)
    assert has_finite_logits(model, range(20, 40)) == (dtype == torch.float32)
