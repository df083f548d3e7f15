from __future__ import annotations

from pathlib import Path

import pytest
import torch
from peft import LoraConfig
from transformers import AutoModelForCausalLM

import adapters as made
from starcoder_ls.engine.adapters import peft_compat


@pytest.mark.parametrize("method", ["lora", "ia3", "parallel", "adapterh"])
def test_layers_are_taken_out_without_a_trace(method: str, starcoder: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(starcoder)
    before = {path: (module, set(vars(module))) for path, module in model.named_modules()}
    sites = peft_compat.inject(made.config_of(method), model, is_empty=True)
    assert sites
    assert all(weight.device.type == "meta" for site in sites for weight in site.weights().values())
    peft_compat.take_out(sites)
    after = {path: (module, set(vars(module))) for path, module in model.named_modules()}
    assert after.keys() == before.keys()
    assert all(after[path][0] is before[path][0] for path in before)
    assert after[""][1] == before[""][1], "no attribute of PEFT's stays on the model"


def test_failed_injection_leaves_the_model_as_it_was(starcoder: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(starcoder)
    before = [id(module) for module in model.modules()]
    with pytest.raises(ValueError, match="not supported"):
        peft_compat.inject(LoraConfig(r=2, target_modules=["c_attn", "ln_2"]), model)
    assert [id(module) for module in model.modules()] == before


def test_weights_go_by_the_names_of_files(starcoder: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(starcoder)
    sites = peft_compat.inject(made.config_of("ia3"), model)
    name = "base_model.model.transformer.h.0.attn.c_attn.ia3_l"
    assert name in sites[0].weights()
    sites[0].replace(name, torch.nn.Parameter(torch.zeros(72, 1), requires_grad=False))
    assert not sites[0].weights()[name].any()
    with pytest.raises(KeyError):
        sites[0].replace("base_model.model.transformer.wte.weight", torch.nn.Parameter(torch.zeros(1)))
