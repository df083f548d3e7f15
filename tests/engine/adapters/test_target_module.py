from __future__ import annotations

from pathlib import Path

import pytest
import torch
from peft.tuners.tuners_utils import BaseTunerLayer
from transformers import AutoModelForCausalLM

import adapter_fixtures
from starcoder_ls.engine.adapters.peft_compat import inject_layers
from starcoder_ls.engine.adapters.target_module import copy_base, move_to, remove_layers


def test_weights_are_named_as_in_files(starcoder: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(starcoder)
    targets = inject_layers(adapter_fixtures.create_peft_config("ia3"), model)
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
    built = move_to(inject_layers(config, copy_base(model), is_empty=True), model)
    assert dict(model.named_modules()) == before
    assert set(vars(model)) == attributes
    expected = inject_layers(config, model, is_empty=True)
    assert not any(isinstance(module, BaseTunerLayer) for module in copy_base(model).modules())
    remove_layers(expected)
    assert [(target.path, target.name) for target in built] == [(target.path, target.name) for target in expected]
    for target, other in zip(built, expected, strict=True):
        assert target.parent is other.parent
        assert target.base_layer is other.base_layer
        assert target.weights().keys() == other.weights().keys()
