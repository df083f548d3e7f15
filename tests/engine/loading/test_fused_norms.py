from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch

from starcoder_ls.engine.generation.loaded_model import LoadedModel
from starcoder_ls.engine.loading.fused_norms import use_fused_norms

IDS = torch.randint(20, 600, (1, 30), generator=torch.Generator().manual_seed(5))


@pytest.mark.parametrize(("family", "norms"), [("llama", 5), ("qwen2", 5), ("starcoder", 0)])
def test_fused_norms_change_logits_by_rounding_only(
    family: str, norms: int, request: pytest.FixtureRequest, doubled: Callable[..., LoadedModel]
) -> None:
    model: Any = copy.deepcopy(doubled(request.getfixturevalue(family)).runner.model).float()
    with torch.inference_mode():
        expected = model(IDS).logits
        names = [name for name, _ in model.named_parameters()]
        assert use_fused_norms(model) == norms
        found = model(IDS).logits
    assert [name for name, _ in model.named_parameters()] == names
    assert float((found - expected).abs().max()) <= 1e-4 * float(expected.std())


def test_fused_norm_of_16_bits_differs_by_two_roundings_at_most() -> None:
    from transformers.models.qwen2.modeling_qwen2 import Qwen2RMSNorm

    holder = torch.nn.ModuleDict({"norm": Qwen2RMSNorm(256)}).bfloat16()
    torch.nn.init.normal_(holder["norm"].weight, 1.0, 0.3)  # type: ignore[arg-type]
    states = torch.randn(40, 256, generator=torch.Generator().manual_seed(2)).bfloat16()
    with torch.inference_mode():
        expected = holder["norm"](states)
        assert use_fused_norms(holder) == 1
        found = holder["norm"](states)
    assert found.dtype == torch.bfloat16
    assert float(((found - expected).abs() / expected.abs().clamp_min(1e-3)).max()) <= 2 * 2**-8 + 1e-4
