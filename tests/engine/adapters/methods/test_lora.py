from __future__ import annotations

from pathlib import Path

import pytest
import torch
from peft import LoraConfig

import adapter_fixtures
from starcoder_ls.engine.adapters.config import read_config
from starcoder_ls.engine.adapters.methods import lora
from starcoder_ls.engine.adapters.peft_compat import inject_layers
from starcoder_ls.engine.adapters.resident_adapters import prepare_adapter
from starcoder_ls.engine.adapters.target_module import TargetModule
from starcoder_ls.engine.assembly import load
from starcoder_ls.engine.loading.progress import ignore_progress
from starcoder_ls.settings import Adapter, Model


def test_rank_stabilized_lora_is_scaled_by_the_square_root_of_the_rank(starcoder: Path, tmp_path: Path) -> None:
    config = LoraConfig(r=4, lora_alpha=8, use_rslora=True, target_modules=["c_attn"], task_type="CAUSAL_LM")
    folder = adapter_fixtures.save_random_adapter(starcoder, tmp_path / "adapter", config)
    loaded = load(Model(name=str(starcoder), device="cpu", dtype="float32"), ignore_progress)
    adapter = loaded.adapters.add("own", prepare_adapter(Adapter(path=str(folder)), True, ignore_progress))
    assert adapter.targets[0].adapter_layer.scaling == {"resident": 4.0}


@pytest.mark.parametrize("initialization", [True, "gaussian"])
def test_initialization_that_leaves_the_base_alone_is_accepted(initialization: object, tmp_path: Path) -> None:
    config = read_config(adapter_fixtures.write_config(tmp_path, "LORA", init_lora_weights=initialization))
    assert "init_lora_weights" not in config.values


def lora_target(dtype: torch.dtype) -> TargetModule:
    """A layer of 48 inputs and 96 outputs in ``dtype``, with a LoRA of rank 4 in float32 or wider as PEFT has it."""
    torch.manual_seed(4)
    model = torch.nn.ModuleDict({"c_attn": torch.nn.Linear(48, 96).to(dtype)})
    (target,) = inject_layers(LoraConfig(r=4, lora_alpha=8, target_modules=["c_attn"]), model)
    for weight in target.weights().values():
        weight.data = torch.randn(weight.shape, dtype=torch.promote_types(dtype, torch.float32)) * 0.3
    target.adapter_layer.eval().requires_grad_(False)
    return target


def outputs(dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
    """Of the fused layer and of PEFT's, less those of the base: [2, 5, 96] each."""
    target = lora_target(dtype)
    fused = lora.fuse(target, dtype)
    states = torch.randn(2, 5, 48, generator=torch.Generator().manual_seed(1)).to(dtype)
    with torch.inference_mode():
        base = target.base_layer(states)
        found, expected = fused.adapter_layer(states), target.adapter_layer(states)
    assert found.dtype == dtype
    assert [weight.dtype for name, weight in fused.adapter_layer.named_parameters() if "base" not in name] == [
        dtype
    ] * 2
    return found.double() - base.double(), expected.double() - base.double()


def test_fused_lora_equals_that_of_peft_in_float64() -> None:
    found, expected = outputs(torch.float64)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


def test_fused_lora_in_16_bits_differs_by_rounding() -> None:
    """Of the weights, the inner states and the sum: under 2 % of the update's size."""
    found, expected = outputs(torch.bfloat16)
    assert float((found - expected).norm() / expected.norm()) < 0.02
    assert float(expected.norm()) > 1


def test_lora_is_fused_on_a_device_other_than_the_cpu_only(monkeypatch: pytest.MonkeyPatch) -> None:
    target = lora_target(torch.float32)
    tensors = {name: weight.data for name, weight in target.weights().items()}
    on_cpu, on_gpu = [target], [target]
    monkeypatch.setattr(lora, "activation_type", lambda _model: (torch.device("cpu"), torch.float32))
    lora.LoRA().load_tensors(tensors, target.base_layer, on_cpu)
    assert on_cpu == [target]
    monkeypatch.setattr(lora, "activation_type", lambda _model: (torch.device("cuda", 0), torch.float32))
    lora.LoRA().load_tensors(tensors, target.base_layer, on_gpu)
    assert isinstance(on_gpu[0].adapter_layer, lora.FusedLora)
