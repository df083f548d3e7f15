"""Adapters for tests: golden ones made with Astraios' fork of PEFT, and random ones of each method for any small base.

Random weights have the standard deviation of the test checkpoints: an adapter near zero would have no visible effect.
"""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import torch
from peft import IA3Config, LoraConfig, PrefixTuningConfig, PromptEncoderConfig, PromptTuningConfig, get_peft_model
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

import checkpoints
from starcoder_ls.engine.adapters.config import CONFIG_FILE
from starcoder_ls.learning.finetuning.bottleneck_tuner import BottleneckConfig

GOLDEN = Path(__file__).parents[1] / "data" / "astraios-golden"
GOLDEN_NAMES = ("lora", "ia3", "ptuning", "parallel", "adapterh", "adapterp")
METHODS = (*GOLDEN_NAMES, "prompt", "prefix")
VIRTUAL_TOKENS = 5

# The smallest valid adapter_config.json of each method, without ``peft_type``.
CONFIG_VALUES: dict[str, dict[str, Any]] = {
    "LORA": {"r": 8, "lora_alpha": 16, "target_modules": ["c_attn"]},
    "IA3": {"target_modules": ["c_attn", "mlp.c_proj"], "feedforward_modules": ["mlp.c_proj"]},
    "BOTTLENECK": {"bottleneck_size": 256, "target_modules": ["c_attn"], "use_parallel_adapter": True},
    "P_TUNING": {"num_virtual_tokens": 30},
    "PROMPT_TUNING": {"num_virtual_tokens": 30},
    "PREFIX_TUNING": {"num_virtual_tokens": 30},
}


def load_golden_tensors() -> dict[str, torch.Tensor]:
    return load_file(GOLDEN / "golden.safetensors")


def copy_golden_base(folder: Path) -> Path:
    """The golden base with a tokenizer in which token N is the character U+4E00 + N, so that any ids are a text."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    checkpoints.copy_checkpoint(GOLDEN / "base", folder)
    tokenizer = Tokenizer(models.BPE({character(i): i for i in range(512)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    tokenizer.decoder = decoders.Fuse()
    (folder / "tokenizer.json").write_text(tokenizer.to_str(), encoding="utf-8")
    return folder


def character(id_: int) -> str:
    return chr(0x4E00 + id_)


def text_of(ids: list[int]) -> str:
    return "".join(map(character, ids))


def create_peft_config(method: str) -> Any:
    """PEFT's configuration for GPTBigCode, with Astraios' target modules if Astraios has the method."""
    shared: dict[str, Any] = {"task_type": "CAUSAL_LM"}
    if method == "lora":
        return LoraConfig(r=4, lora_alpha=8, lora_dropout=0.05, target_modules=["c_proj", "c_attn"], **shared)
    if method == "ia3":
        return IA3Config(target_modules=["c_attn", "mlp.c_proj"], feedforward_modules=["mlp.c_proj"], **shared)
    if method == "prompt":
        return PromptTuningConfig(num_virtual_tokens=VIRTUAL_TOKENS, **shared)
    if method == "prefix":
        return PrefixTuningConfig(num_virtual_tokens=VIRTUAL_TOKENS, **shared)
    if method == "ptuning":
        return PromptEncoderConfig(num_virtual_tokens=VIRTUAL_TOKENS, encoder_hidden_size=16, **shared)
    targets = {"parallel": ["c_attn"], "adapterh": ["c_fc", "mlp.c_proj"], "adapterp": ["mlp.c_proj"]}
    return BottleneckConfig(
        target_modules=targets[method], bottleneck_size=8, use_parallel_adapter=method == "parallel", **shared
    )


def save_random_adapter(base: Path, folder: Path, config: Any, seed: int = 5) -> Path:
    """Save an adapter with PEFT, with random weights, and return its folder."""
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated", FutureWarning)
        warnings.filterwarnings("ignore", "for MLP, the argument", UserWarning)
        adapted = get_peft_model(model, config)
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for name, weight in adapted.named_parameters():
                if weight.requires_grad:
                    noise = torch.randn(weight.shape, generator=generator) * checkpoints.WEIGHT_STD
                    weight.copy_(noise + 1 if "ia3" in name else noise)
        adapted.save_pretrained(folder)
    return folder


def save_adapter_of_each_method(base: Path, folder: Path) -> dict[str, Path]:
    """Folders of random adapters by name in ``METHODS``."""
    return {
        method: save_random_adapter(base, folder / method, create_peft_config(method), seed)
        for seed, method in enumerate(METHODS, start=11)
    }


def write_config(folder: Path, peft_type: Any, **values: Any) -> Path:
    """Write an adapter_config.json with ``CONFIG_VALUES``, changed and extended by ``values``."""
    config = {"peft_type": peft_type, **CONFIG_VALUES.get(str(peft_type), {}), **values}
    (folder / CONFIG_FILE).write_text(json.dumps(config), encoding="utf-8")
    return folder


def edit_config(folder: Path, **changes: Any) -> None:
    """Change keys of adapter_config.json; None removes one."""
    file = folder / CONFIG_FILE
    config = json.loads(file.read_text(encoding="utf-8")) | changes
    file.write_text(json.dumps({key: value for key, value in config.items() if value is not None}), encoding="utf-8")
