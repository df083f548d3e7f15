"""What each method says of a layer, computed with torch, is what its layer computes."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers.activations import ACT2FN

from starcoder_ls.engine.adapters.layer_change import Branch, LayerChange
from starcoder_ls.engine.adapters.registry import METHODS

LORA = {"r": 4, "lora_alpha": 12, "target_modules": ["c_fc"]}
BOTTLENECK = {"bottleneck_size": 6, "scaling": 0.5, "target_modules": ["c_fc"]}
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "lora": ("LORA", LORA),
    "rslora": ("LORA", LORA | {"use_rslora": True}),
    "ia3": ("IA3", {"target_modules": ["c_fc", "c_proj"], "feedforward_modules": ["c_proj"]}),
    "parallel": ("BOTTLENECK", BOTTLENECK | {"use_parallel_adapter": True, "non_linearity": "gelu"}),
    "houlsby": ("BOTTLENECK", BOTTLENECK | {"target_modules": ["c_fc", "c_proj"]}),
    "learned": (
        "BOTTLENECK",
        BOTTLENECK | {"scaling": "learned", "target_modules": ["c_proj"], "non_linearity": "silu"},
    ),
}


def compute(change: LayerChange, layer: torch.nn.Module, x: torch.Tensor) -> torch.Tensor:
    def apply(h: torch.Tensor) -> torch.Tensor:
        if not isinstance(change, Branch):
            return h * change.values
        return h + branch(h)

    def branch(h: torch.Tensor) -> torch.Tensor:
        assert isinstance(change, Branch)
        result: torch.Tensor = ACT2FN[change.non_linearity](h @ change.down.T) @ change.up.T
        return result

    if change.position == "input":
        return layer(apply(x))  # type: ignore[no-any-return]
    return layer(x) + branch(x) if change.position == "parallel" else apply(layer(x))


@pytest.mark.parametrize("name", CASES)
def test_change_computes_what_the_adapter_layer_computes(name: str) -> None:
    torch.manual_seed(1)
    model = torch.nn.ModuleDict({"c_fc": torch.nn.Linear(8, 10), "c_proj": torch.nn.Linear(8, 10)})
    peft_type, values = CASES[name]
    method = METHODS[peft_type]
    values = {key: method.default_values().get(key) for key in method.config_checks} | values
    targets = method.create_layers(values, model)
    assert targets
    for target in targets:
        for name_in_file, weight in target.weights().items():
            target.set_weight(name_in_file, torch.nn.Parameter(torch.randn(weight.shape)))
        x, change = torch.randn(3, 8), method.layer_change(target)
        assert change is not None
        expected = target.adapter_layer.eval()(x)
        torch.testing.assert_close(compute(change, target.base_layer, x), expected)
        assert not torch.allclose(expected, target.base_layer(x), atol=0.1)
