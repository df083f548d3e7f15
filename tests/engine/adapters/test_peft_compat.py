from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig
from transformers import AutoModelForCausalLM

import adapter_fixtures
from starcoder_ls.engine.adapters import peft_compat
from starcoder_ls.engine.adapters.target_module import remove_layers


@pytest.mark.parametrize("method", ["lora", "ia3", "parallel", "adapterh"])
def test_removed_layers_leave_no_trace(method: str, starcoder: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(starcoder)
    before = {path: (module, set(vars(module))) for path, module in model.named_modules()}
    targets = peft_compat.inject_layers(adapter_fixtures.create_peft_config(method), model, is_empty=True)
    assert targets
    assert all(weight.device.type == "meta" for target in targets for weight in target.weights().values())
    remove_layers(targets)
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
