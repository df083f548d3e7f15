from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig
from peft.tuners.tuners_utils import BaseTunerLayer
from transformers import AutoModelForCausalLM

import adapter_fixtures
from starcoder_ls.engine.adapters import peft_compat


@pytest.mark.parametrize("method", ["lora", "ia3", "parallel", "adapterh"])
def test_removed_layers_leave_no_trace(method: str, starcoder: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(starcoder)
    before = {path: (module, set(vars(module))) for path, module in model.named_modules()}
    targets = peft_compat.inject_layers(adapter_fixtures.create_peft_config(method), model, is_empty=True)
    assert targets
    assert all(weight.device.type == "meta" for target in targets for weight in target.weights().values())
    peft_compat.remove_layers(targets)
    after = {path: (module, set(vars(module))) for path, module in model.named_modules()}
    assert after.keys() == before.keys()
    assert all(after[path][0] is before[path][0] for path in before)
    assert after[""][1] == before[""][1], "PEFT left an attribute on the model"


def test_failed_injection_leaves_the_model_unchanged(starcoder: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(starcoder)
    before = [id(module) for module in model.modules()]
    with pytest.raises(ValueError, match="not supported"):
        peft_compat.inject_layers(LoraConfig(r=2, target_modules=["c_attn", "ln_2"]), model)
    assert [id(module) for module in model.modules()] == before


def test_weights_are_named_as_in_files(starcoder: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(starcoder)
    targets = peft_compat.inject_layers(adapter_fixtures.create_peft_config("ia3"), model)
    name = "base_model.model.transformer.h.0.attn.c_attn.ia3_l"
    assert name in targets[0].weights()
    targets[0].set_weight(name, torch.nn.Parameter(torch.zeros(72, 1), requires_grad=False))
    assert not targets[0].weights()[name].any()
    with pytest.raises(KeyError):
        targets[0].set_weight("base_model.model.transformer.wte.weight", torch.nn.Parameter(torch.zeros(1)))


@pytest.mark.parametrize("method", ["lora", "ia3", "parallel"])
def test_layers_that_are_built_in_a_copy_fit_the_model(method: str, starcoder: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(starcoder)
    before, attributes = dict(model.named_modules()), set(vars(model))
    config = adapter_fixtures.create_peft_config(method)
    built = peft_compat.move_to(peft_compat.inject_layers(config, peft_compat.copy_base(model), is_empty=True), model)
    assert dict(model.named_modules()) == before
    assert set(vars(model)) == attributes
    expected = peft_compat.inject_layers(config, model, is_empty=True)
    assert not any(isinstance(module, BaseTunerLayer) for module in peft_compat.copy_base(model).modules())
    peft_compat.remove_layers(expected)
    assert [(target.path, target.name) for target in built] == [(target.path, target.name) for target in expected]
    for target, other in zip(built, expected, strict=True):
        assert target.parent is other.parent
        assert target.base_layer is other.base_layer
        assert target.weights().keys() == other.weights().keys()


def test_other_threads_create_modules_with_weights_meanwhile(starcoder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second engine may load its model while layers are built."""
    model, devices = AutoModelForCausalLM.from_pretrained(starcoder), []
    create = peft_compat.inject_adapter_in_model

    def create_beside(*arguments: Any, **options: Any) -> None:
        with ThreadPoolExecutor(1) as other:
            devices.append(other.submit(torch.nn.Linear, 2, 2).result().weight.device.type)
            create(*arguments, **options)
            devices.append(other.submit(torch.nn.Linear, 2, 2).result().weight.device.type)

    monkeypatch.setattr(peft_compat, "inject_adapter_in_model", create_beside)
    targets = peft_compat.inject_layers(adapter_fixtures.create_peft_config("lora"), model, is_empty=True)
    assert devices == ["cpu", "cpu"]
    assert {weight.device.type for target in targets for weight in target.weights().values()} == {"meta"}
