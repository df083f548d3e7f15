from __future__ import annotations

from pathlib import Path

import pytest
import torch
from peft import LoraConfig
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
