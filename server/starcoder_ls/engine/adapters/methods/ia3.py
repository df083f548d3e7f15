"""(IA)³: one learned factor per input or output of each target layer (Liu et al. 2022)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch

from starcoder_ls.engine.adapters import config_checks as checks
from starcoder_ls.engine.adapters.adapter_method import PeftLayerMethod, layer_tensor_names
from starcoder_ls.engine.adapters.layer_change import Factors
from starcoder_ls.engine.adapters.target_module import ADAPTER_NAME, TargetModule


class IA3(PeftLayerMethod):
    peft_type = "IA3"
    config_checks: ClassVar = {"target_modules": checks.MODULE_NAMES, "feedforward_modules": checks.MODULE_NAMES}
    training_keys = frozenset({"init_ia3_weights"})
    tensor_names = layer_tensor_names("ia3_l")
    merge_obstacle = None

    def find_conflict(self, values: Mapping[str, Any]) -> str | None:
        if set(values["feedforward_modules"]) <= set(values["target_modules"]):
            return None
        return "has `feedforward_modules` that are not among `target_modules`"

    def layer_change(self, target: TargetModule) -> Factors:
        layer: Any = target.adapter_layer
        values = layer.ia3_l[ADAPTER_NAME].flatten()
        return Factors("input" if layer.is_feedforward else "output", values)

    def find_base_conflict(self, quantization: str, dtype: torch.dtype) -> str | None:
        """PEFT's layer passes float32 to bitsandbytes' layers, which fail if they expect half precision."""
        if quantization not in ("int8", "nf4") or dtype == torch.float32:
            return None
        return (
            f"(IA)³ on a base quantized by bitsandbytes needs float32 activations, and `model.dtype` is "
            f"{str(dtype).removeprefix('torch.')} here. Set `model.dtype` to float32, or use torchao-int8."
        )
