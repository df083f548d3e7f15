from __future__ import annotations

from typing import Any

import pytest
import torch
from peft import PeftType

import adapter_fixtures
from starcoder_ls.engine.adapters import peft_compat
from starcoder_ls.engine.adapters.methods.bottleneck import Bottleneck
from starcoder_ls.learning.finetuning.bottleneck_tuner import BottleneckConfig, TrainableBottleneckLayer


def test_method_has_a_name_in_peft() -> None:
    assert PeftType("BOTTLENECK").value == "BOTTLENECK"
    assert PeftType.BOTTLENECK in list(PeftType)
    peft_compat.register_method("bottleneck", object, object, "adapter_")  # the second registration has no effect
    assert len([member for member in PeftType if member.value == "BOTTLENECK"]) == 1


@pytest.mark.parametrize(
    "values",
    [
        {"target_modules": ["c_fc"], "use_parallel_adapter": True, "non_linearity": "gelu"},
        {"target_modules": ["c_fc", "c_proj"], "scaling": 0.5},
        {"target_modules": ["c_proj"], "scaling": "learned", "non_linearity": "silu"},
    ],
    ids=["parallel", "houlsby", "learned"],
)
def test_trained_layer_computes_what_the_engine_computes(values: dict[str, Any]) -> None:
    torch.manual_seed(1)
    model = torch.nn.ModuleDict({"c_fc": torch.nn.Linear(8, 10), "c_proj": torch.nn.Linear(10, 8)})
    trained = peft_compat.inject_layers(BottleneckConfig(bottleneck_size=6, **values), model)
    model = torch.nn.ModuleDict({target.name: target.base_layer for target in trained})
    targets = Bottleneck().create_layers(Bottleneck().default_values() | {"bottleneck_size": 6, **values}, model)
    assert [target.path for target in targets] == [target.path for target in trained]
    for own, other in zip(targets, trained, strict=True):
        assert own.weights().keys() == other.weights().keys()
        for name, weight in other.weights().items():
            weight.data = torch.randn(weight.shape)
            own.set_weight(name, weight)
        x = torch.randn(3, own.base_layer.in_features)  # type: ignore[call-overload]
        assert torch.equal(own.adapter_layer(x), other.adapter_layer.eval()(x))
        assert not torch.allclose(own.adapter_layer(x), own.base_layer(x), atol=0.1)


def test_merge_and_unmerge_raise() -> None:
    config = adapter_fixtures.create_peft_config("parallel")
    layer = TrainableBottleneckLayer(torch.nn.Linear(6, 4), "parallel", "a", config)
    with pytest.raises(NotImplementedError, match="not linear"):
        layer.merge()
    with pytest.raises(NotImplementedError):
        layer.unmerge()


def test_layer_sums_several_active_adapters_and_can_be_disabled() -> None:
    config = adapter_fixtures.create_peft_config("adapterh")
    layer = TrainableBottleneckLayer(torch.nn.Linear(6, 4), "parallel", "a", config)
    layer.add_adapter("b", config)
    x = torch.randn(2, 6)
    base = layer.base_layer(x)
    expected = base + layer.delta("a", x) + layer.delta("b", x)
    layer.set_adapter(["a", "b"], inference_mode=True)
    torch.testing.assert_close(layer(x), expected)
    layer.enable_adapters(False)
    assert torch.equal(layer(x), base)
