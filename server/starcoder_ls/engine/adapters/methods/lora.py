"""LoRA: a low-rank update ``B A · scaling`` beside each target layer (Hu et al. 2021), computed by PEFT."""

from __future__ import annotations

from typing import ClassVar

from peft import LoraConfig

from starcoder_ls.engine.adapters import config_checks as checks
from starcoder_ls.engine.adapters.adapter_method import LayerMethod, layer_tensor_names


class LoRA(LayerMethod):
    peft_type = "LORA"
    peft_config = LoraConfig
    config_checks: ClassVar = {
        "r": checks.integer(1, 4096),
        "lora_alpha": checks.NUMBER,
        "use_rslora": checks.BOOLEAN,
        "target_modules": checks.MODULE_NAMES,
        "layers_to_transform": checks.LAYER_NUMBERS,
    }
    training_keys = frozenset({"lora_dropout"})
    tensor_names = layer_tensor_names(r"lora_[AB]\.weight")
    merge_obstacle = None
    peft_arguments: ClassVar = {"init_lora_weights": True}

    def is_inactive(self, key: str, value: object) -> bool:
        """Initializations that leave the base's weights alone; others, such as "pissa", change them."""
        return key == "init_lora_weights" and (value is True or value in ("gaussian", "eva", "orthogonal"))
