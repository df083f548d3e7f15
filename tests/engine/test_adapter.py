from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import IA3Config, LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

import checkpoints
from starcoder_ls.engine.adapter import CONFIG, WEIGHTS, inspect
from starcoder_ls.engine.decode import forward
from starcoder_ls.engine.kv import KvCache
from starcoder_ls.engine.loading import Loaded
from starcoder_ls.errors import AdapterInvalid

IDS = list(range(20, 45))

# PEFT 0.21's own, wherever a test uses PEFT without the engine.
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")


def trained(base: Path, folder: Path, config: Any) -> Path:
    """An adapter as PEFT saves it, every weight of it random: a new one changes nothing."""
    model = get_peft_model(AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32), config)
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.requires_grad:
                noise = torch.randn(weight.shape, generator=generator) * checkpoints.SPREAD
                weight.copy_(noise + 1 if "ia3" in name else noise)
    model.save_pretrained(folder)
    return folder


def lora(**changes: Any) -> LoraConfig:
    settings = {"r": 4, "lora_alpha": 8, "target_modules": ["c_attn", "c_proj", "c_fc"], "task_type": "CAUSAL_LM"}
    return LoraConfig(**(settings | changes))


@pytest.fixture(scope="module")
def lora_folder(starcoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained(starcoder, tmp_path_factory.mktemp("adapters") / "lora", lora())


@pytest.fixture
def damaged(lora_folder: Path, tmp_path: Path) -> Path:
    shutil.copytree(lora_folder, tmp_path / "copy")
    return tmp_path / "copy"


def logits_of(loaded: Loaded) -> torch.Tensor:
    return forward(loaded.model, [IDS], KvCache(loaded.layers, 32))[0]


def direct(base: Path, adapter: Path) -> torch.Tensor:
    """What PEFT computes without us."""
    model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32), str(adapter))
    with torch.inference_mode():
        logits: torch.Tensor = model.eval().double()(torch.tensor([IDS])).logits[0, -1]
    return logits


def ia3() -> IA3Config:
    return IA3Config(target_modules=["c_attn", "c_fc"], feedforward_modules=["c_fc"], task_type="CAUSAL_LM")


@pytest.mark.parametrize(
    "config", [lora(), lora(task_type=None), lora(use_rslora=True), ia3()], ids=lambda config: config.peft_type
)
def test_output_is_that_of_peft_and_not_that_of_the_base(
    config: Any, starcoder: Path, tmp_path: Path, doubled: Callable[..., Loaded]
) -> None:
    folder = trained(starcoder, tmp_path / "adapter", config)
    adapted = doubled(starcoder, adapter=folder)
    torch.testing.assert_close(logits_of(adapted), direct(starcoder, folder), rtol=0, atol=1e-9)
    assert (logits_of(adapted) - logits_of(doubled(starcoder))).abs().max() > 0.1
    assert adapted.adapters == (str(folder),)


def test_folder_that_is_no_adapter(tmp_path: Path) -> None:
    with pytest.raises(AdapterInvalid, match=r"There is no adapter folder .*absent"):
        inspect(tmp_path / "absent")
    with pytest.raises(AdapterInvalid, match=r"has no adapter_config\.json"):
        inspect(tmp_path)


def test_pickled_adapter_is_refused(damaged: Path) -> None:
    (damaged / WEIGHTS).rename(damaged / "adapter_model.bin")
    with pytest.raises(AdapterInvalid, match=r"has no adapter_model\.safetensors; adapter_model\.bin can run code"):
        inspect(damaged)


def test_truncated_adapter_is_refused(damaged: Path) -> None:
    (damaged / WEIGHTS).write_bytes((damaged / WEIGHTS).read_bytes()[:-10])
    with pytest.raises(AdapterInvalid, match="is damaged"):
        inspect(damaged)


@pytest.mark.parametrize("kind", ["P_TUNING", "XLORA", None, 7])
def test_kind_that_does_not_run_is_refused(kind: object, damaged: Path) -> None:
    config = json.loads((damaged / CONFIG).read_text()) | {"peft_type": kind}
    (damaged / CONFIG).write_text(json.dumps(config))
    with pytest.raises(AdapterInvalid, match=r"does not run\. Use LORA or IA3"):
        inspect(damaged)


def test_adapter_of_another_base_is_refused(lora_folder: Path, tmp_path: Path, doubled: Callable[..., Loaded]) -> None:
    wider = checkpoints.gpt_bigcode(tmp_path / "wider", n_embd=64)
    with pytest.raises(AdapterInvalid, match=r"trained for .*starcoder, does not fit wider: .* with its own base"):
        doubled(wider, adapter=lora_folder)


def test_adapter_of_another_architecture_is_refused(
    lora_folder: Path, llama: Path, doubled: Callable[..., Loaded]
) -> None:
    with pytest.raises(AdapterInvalid, match="does not fit llama"):
        doubled(llama, adapter=lora_folder)


@pytest.mark.parametrize("change", ["missing", "extra"])
def test_adapter_with_other_tensors_than_promised_is_refused(
    change: str, damaged: Path, starcoder: Path, doubled: Callable[..., Loaded]
) -> None:
    tensors = load_file(damaged / WEIGHTS)
    name = min(tensors)
    if change == "missing":
        del tensors[name]
    else:
        tensors[name.replace(".h.0.", ".h.9.")] = tensors[name].clone()
    save_file(tensors, damaged / WEIGHTS)
    counts = {"missing": "1 tensors are missing and 0", "extra": "0 tensors are missing and 1"}[change]
    with pytest.raises(AdapterInvalid, match=counts):
        doubled(starcoder, adapter=damaged)
