from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from peft import PeftType
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

import adapters as made
import checkpoints
from starcoder_ls.engine.adapters import fingerprint, peft_compat
from starcoder_ls.engine.adapters.files import inspect, tensors
from starcoder_ls.engine.adapters.methods import bottleneck
from starcoder_ls.engine.adapters.methods.bottleneck import CONFIG, WEIGHTS
from starcoder_ls.engine.loading.checkpoint import inspect as inspect_base

IDS = torch.arange(20, 45)[None]


def logits(model: torch.nn.Module) -> torch.Tensor:
    with torch.inference_mode():
        found: torch.Tensor = model(input_ids=IDS).logits
    return found


def test_method_has_a_name_in_peft() -> None:
    assert PeftType("BOTTLENECK").value == "BOTTLENECK"
    assert PeftType.BOTTLENECK in list(PeftType)
    peft_compat.register("bottleneck", object, object, "adapter_")  # a second time changes nothing


def test_fresh_parallel_adapter_changes_nothing_and_alone_is_trained(starcoder: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(starcoder).eval()
    before = logits(model)
    weights = bottleneck.add_trainable(model, bottleneck.parallel(8, ["c_attn"]))
    assert torch.equal(logits(model), before)
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    assert {id(weight) for weight in trained} == {id(weight) for weight in weights}
    assert sum(weight.numel() for weight in weights) == 2 * 8 * (48 + 72)
    model(input_ids=IDS).logits.sum().backward()
    assert weights[1].grad is not None
    assert weights[1].grad.abs().sum() > 0


@pytest.mark.parametrize("method", ["parallel", "adapterh", "adapterp"])
def test_saved_and_loaded_again_is_the_very_same(method: str, starcoder: Path, tmp_path: Path, doubled: object) -> None:
    model = AutoModelForCausalLM.from_pretrained(starcoder, dtype=torch.float32).eval()
    config = made.config_of(method)
    weights = bottleneck.add_trainable(model, config)
    for seed, weight in enumerate(weights):
        noise = torch.randn(weight.shape, generator=torch.Generator().manual_seed(seed))
        weight.data = noise * checkpoints.SPREAD
    mark = fingerprint.of(inspect_base(starcoder))
    bottleneck.save(model, config, tmp_path, "starcoder", mark)
    files = inspect(tmp_path)
    assert files.base_fingerprint == mark
    loaded = doubled(starcoder, 16, {"own": tmp_path})  # type: ignore[operator]
    loaded.adapters.activate(loaded.adapters.named("own"))
    assert torch.equal(logits(loaded.model), logits(model.double()))
    loaded.adapters.activate(None)
    assert set(tensors(files)) == set(load_file(tmp_path / WEIGHTS))


@pytest.mark.parametrize("name", ["parallel", "adapterh", "adapterp"])
def test_config_that_is_saved_has_the_published_keys(name: str, tmp_path: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(made.GOLDEN / "base")
    published = json.loads((made.GOLDEN / name / CONFIG).read_text())
    config = bottleneck.BottleneckConfig(
        **{k: v for k, v in published.items() if k not in ("peft_type", "auto_mapping")}
    )
    bottleneck.add_trainable(model, config)
    bottleneck.save(model, config, tmp_path, published["base_model_name_or_path"], "0")
    saved = json.loads((tmp_path / CONFIG).read_text())
    published.pop("auto_mapping")
    assert saved == published
    pickled = torch.load(made.GOLDEN / name / "adapter_model.bin", weights_only=True)
    assert {key: value.shape for key, value in pickled.items()} == {
        key: value.shape for key, value in load_file(tmp_path / WEIGHTS).items()
    }


def test_learned_scaling_is_a_weight_of_its_own(starcoder: Path, tmp_path: Path, doubled: object) -> None:
    config = made.config_of("parallel")
    config.scaling = "learned"
    folder = made.trained(starcoder, tmp_path, config)
    assert sum(key.endswith("adapter_scaling") for key in load_file(folder / WEIGHTS)) == 2
    loaded = doubled(starcoder, 16, {"own": folder})  # type: ignore[operator]
    assert len(loaded.adapters.named("own").sites[0].weights()) == 3


def test_merging_is_refused(starcoder: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(starcoder)
    bottleneck.add_trainable(model, bottleneck.parallel(8, ["c_attn"]))
    layer = next(module for module in model.modules() if isinstance(module, bottleneck.BottleneckLayer))
    with pytest.raises(NotImplementedError, match="not linear"):
        layer.merge()
    with pytest.raises(NotImplementedError):
        layer.unmerge()


def test_layer_may_hold_several_and_be_switched_off() -> None:
    layer = bottleneck.BottleneckLayer(torch.nn.Linear(6, 4), "parallel", "a", made.config_of("adapterh"))
    layer.add_adapter("b", made.config_of("adapterh"))
    x = torch.randn(2, 6)
    base = layer.base_layer(x)
    both = base + layer.delta("a", x) + layer.delta("b", x)
    layer.set_adapter(["a", "b"], inference_mode=True)
    torch.testing.assert_close(layer(x), both)
    layer.enable_adapters(False)
    assert torch.equal(layer(x), base)
