"""Training of methods that change layers: LoRA, (IA)3, Parallel."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from peft import IA3Config, LoraConfig

from starcoder_ls.engine.adapters import peft_compat
from starcoder_ls.engine.adapters.methods.bottleneck import PEFT_TYPE
from starcoder_ls.engine.loading import checkpoint_sizes
from starcoder_ls.learning.finetuning import lora_linear
from starcoder_ls.learning.finetuning.bottleneck_tuner import BottleneckConfig
from starcoder_ls.learning.finetuning.trainable import BaseIdentity, Trainable, write_adapter

LORA_TARGETS: Mapping[str, list[str]] = {
    checkpoint_sizes.BIGCODE: ["c_attn", "c_proj", "c_fc"],
    "Starcoder2ForCausalLM": ["q_proj", "k_proj", "v_proj", "o_proj", "c_fc", "c_proj"],
    "LlamaForCausalLM": ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"],
    "Qwen2ForCausalLM": ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"],
}
"""All linear layers within blocks (QLoRA, Dettmers et al. 2023, section 4)."""

_IA3_TARGETS: Mapping[str, tuple[list[str], list[str]]] = {
    checkpoint_sizes.BIGCODE: (["c_attn", "mlp.c_proj"], ["mlp.c_proj"]),
    "Starcoder2ForCausalLM": (["k_proj", "v_proj", "c_proj"], ["c_proj"]),
    "LlamaForCausalLM": (["k_proj", "v_proj", "down_proj"], ["down_proj"]),
    "Qwen2ForCausalLM": (["k_proj", "v_proj", "down_proj"], ["down_proj"]),
}
"""Keys, values and the input of the second layer of the MLP (Liu et al. 2022), and which of them are feed-forward."""

_PARALLEL_TARGETS: Mapping[str, list[str]] = {
    checkpoint_sizes.BIGCODE: ["c_attn"],
    "Starcoder2ForCausalLM": ["q_proj", "v_proj"],
    "LlamaForCausalLM": ["q_proj", "v_proj"],
    "Qwen2ForCausalLM": ["q_proj", "v_proj"],
}

_PUBLISHED_KEYS = frozenset(
    {"adapter_dropout", "bias", "bottleneck_size", "init_weights", "modules_to_save", "non_linearity", "scaling"}
    | {"revision", "target_modules", "use_adapterp", "use_parallel_adapter"}
)
"""Of Astraios' adapter_config.json files."""


class LayerAdapter(Trainable):
    """``config`` is PEFT's, ``saved`` the keys of adapter_config.json that describe it."""

    def __init__(self, model: Any, config: Any, saved: Mapping[str, Any]) -> None:
        super().__init__(model)
        config.inference_mode = False
        self._saved = saved
        self._targets = peft_compat.inject_layers(config, model)
        model.requires_grad_(False)
        for weight in self.named_weights().values():
            weight.data = weight.data.float()  # of a base in 16 bits as well: small updates would be rounded away
            weight.requires_grad_(True)

    @property
    def layers(self) -> list[torch.nn.Module]:
        """PEFT's layers."""
        return [target.adapter_layer for target in self._targets]

    def named_weights(self) -> Mapping[str, torch.nn.Parameter]:
        return {name: weight for target in self._targets for name, weight in target.weights().items()}

    def save(self, folder: Path, base: BaseIdentity) -> None:
        write_adapter(folder, self._saved, self.named_weights(), base)


def add_lora(model: Any, architecture: str, rank: int) -> LayerAdapter:
    """LoRA on all linear layers, scaled by 2 (alpha is twice the rank)."""
    targets = LORA_TARGETS[architecture]
    config = LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=targets, task_type="CAUSAL_LM")
    saved = {"peft_type": "LORA", "r": rank, "lora_alpha": 2 * rank, "target_modules": targets}
    trainable = LayerAdapter(model, config, saved)
    for layer in trainable.layers:
        lora_linear.use_one_operation(layer)
    return trainable


def add_ia3(model: Any, architecture: str, _rank: int) -> LayerAdapter:
    """(IA)3, whose factors begin at 1."""
    targets, feedforward = _IA3_TARGETS[architecture]
    config = IA3Config(target_modules=targets, feedforward_modules=feedforward, task_type="CAUSAL_LM")
    return LayerAdapter(
        model, config, {"peft_type": "IA3", "target_modules": targets, "feedforward_modules": feedforward}
    )


def add_parallel(model: Any, architecture: str, rank: int) -> LayerAdapter:
    """Astraios' Parallel adapter, whose second matrix begins at zero; ``rank`` is the size of its bottleneck."""
    config = BottleneckConfig(
        target_modules=_PARALLEL_TARGETS[architecture],
        bottleneck_size=rank,
        use_parallel_adapter=True,
        init_weights="mam_adapter",
        task_type="CAUSAL_LM",
    )
    saved = {key: value for key, value in config.to_dict().items() if key in _PUBLISHED_KEYS}
    return LayerAdapter(model, config, {**saved, "peft_type": PEFT_TYPE})
