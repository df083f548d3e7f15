from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

import adapter_fixtures
import checkpoints
from starcoder_ls.engine.adapters.config import CONFIG_FILE
from starcoder_ls.engine.adapters.files import WEIGHTS_FILE, check_adapter_folder, read_tensors
from starcoder_ls.engine.adapters.fingerprint import compute_fingerprint
from starcoder_ls.engine.adapters.methods.bottleneck import BottleneckConfig
from starcoder_ls.engine.adapters.resident_adapters import prepare_adapter
from starcoder_ls.engine.assembly import load
from starcoder_ls.engine.loading.checkpoint import read_checkpoint
from starcoder_ls.engine.loading.progress import ignore_progress
from starcoder_ls.learning.trainable_adapter import add_adapter, parallel_config, save_adapter
from starcoder_ls.settings import Adapter, Model

IDS = torch.arange(20, 45)[None]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoints.gpt_bigcode(tmp_path_factory.mktemp("models") / "starcoder")


@pytest.fixture
def random_adapter(base: Path, tmp_path: Path) -> Callable[[str], torch.nn.Module]:
    """Saves a random adapter of a method to ``tmp_path`` and returns the model with the adapter in it."""

    def create(method: str) -> torch.nn.Module:
        model: torch.nn.Module = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32).eval()
        config = adapter_fixtures.create_peft_config(method)
        for seed, weight in enumerate(add_adapter(model, config)):
            noise = torch.randn(weight.shape, generator=torch.Generator().manual_seed(seed))
            weight.data = noise * checkpoints.WEIGHT_STD
        save_adapter(model, config, tmp_path, "starcoder", compute_fingerprint(read_checkpoint(base)))
        return model

    return create


def logits(model: torch.nn.Module) -> torch.Tensor:
    """[1, time, vocabulary]"""
    with torch.inference_mode():
        result: torch.Tensor = model(input_ids=IDS).logits
    return result


def test_new_parallel_adapter_changes_nothing_and_only_it_is_trainable(base: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(base).eval()
    before = logits(model)
    weights = add_adapter(model, parallel_config(8, ["c_attn"]))
    assert torch.equal(logits(model), before)
    trainable = [weight for weight in model.parameters() if weight.requires_grad]
    assert {id(weight) for weight in trainable} == {id(weight) for weight in weights}
    assert sum(weight.numel() for weight in weights) == 2 * 8 * (48 + 72)
    model(input_ids=IDS).logits.sum().backward()
    assert weights[1].grad is not None
    assert weights[1].grad.abs().sum() > 0


@pytest.mark.parametrize("method", ["parallel", "adapterh", "adapterp"])
def test_saved_adapter_gives_the_same_logits_when_loaded(
    method: str, random_adapter: Callable[[str], torch.nn.Module], base: Path, tmp_path: Path
) -> None:
    model = random_adapter(method)
    files = check_adapter_folder(tmp_path)
    assert files.base_fingerprint == compute_fingerprint(read_checkpoint(base))
    assert set(read_tensors(files)) == set(load_file(tmp_path / WEIGHTS_FILE))
    loaded = load(Model(name=str(base), device="cpu", dtype="float32"), ignore_progress)
    adapter = loaded.adapters.add("own", prepare_adapter(Adapter(path=str(tmp_path)), True, ignore_progress))
    loaded.adapters.activate(adapter)
    loaded.runner.model.double()
    assert torch.equal(logits(loaded.runner.model), logits(model.double()))


@pytest.mark.parametrize("name", ["parallel", "adapterh", "adapterp"])
def test_saved_config_and_tensors_are_named_as_published(name: str, tmp_path: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(adapter_fixtures.GOLDEN / "base")
    published = json.loads((adapter_fixtures.GOLDEN / name / CONFIG_FILE).read_text())
    config = BottleneckConfig(**{k: v for k, v in published.items() if k not in ("peft_type", "auto_mapping")})
    add_adapter(model, config)
    save_adapter(model, config, tmp_path, published["base_model_name_or_path"], "0")
    saved = json.loads((tmp_path / CONFIG_FILE).read_text())
    published.pop("auto_mapping")
    assert saved == published
    pickled = torch.load(adapter_fixtures.GOLDEN / name / "adapter_model.bin", weights_only=True)
    assert {key: value.shape for key, value in pickled.items()} == {
        key: value.shape for key, value in load_file(tmp_path / WEIGHTS_FILE).items()
    }
