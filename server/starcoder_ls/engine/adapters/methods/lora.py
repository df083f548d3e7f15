"""LoRA: a low-rank update ``B A · scaling`` beside each target layer (Hu et al. 2021).

Computed on a CPU in float32, by the compiled pass or else by PEFT. On a GPU, where each operation of a short pass costs
a kernel, by two products in the type of the activations.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import torch

from starcoder_ls.engine.adapters import config_checks as checks
from starcoder_ls.engine.adapters.adapter_method import PeftLayerMethod, layer_tensor_names
from starcoder_ls.engine.adapters.layer_change import Branch
from starcoder_ls.engine.adapters.target_module import ADAPTER_NAME, TargetModule
from starcoder_ls.engine.model_shape import activation_type


class LoRA(PeftLayerMethod):
    peft_type = "LORA"
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

    def load_tensors(
        self,
        tensors: Mapping[str, torch.Tensor],
        model: torch.nn.Module,
        targets: Sequence[TargetModule],
    ) -> None:
        super().load_tensors(tensors, model, targets)
        device, dtype = activation_type(model)
        if device.type != "cpu" and isinstance(targets, list):
            targets[:] = [fuse(target, dtype) for target in targets]

    def layer_change(self, target: TargetModule) -> Branch | None:
        layer: Any = target.adapter_layer
        if isinstance(layer, FusedLora):
            return Branch("parallel", layer.down, layer.up, "linear")
        up = layer.lora_B[ADAPTER_NAME].weight * layer.scaling[ADAPTER_NAME]
        return Branch("parallel", layer.lora_A[ADAPTER_NAME].weight, up, "linear")


class FusedLora(torch.nn.Module):
    """``base_layer`` with ``down`` [rank, inputs] and ``up`` [outputs, rank], which contains the scaling."""

    def __init__(self, base_layer: torch.nn.Module, down: torch.Tensor, up: torch.Tensor) -> None:
        super().__init__()
        self.base_layer = base_layer
        self.down = torch.nn.Parameter(down, requires_grad=False)
        self.up = torch.nn.Parameter(up, requires_grad=False)

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """[..., inputs] -> [..., outputs]"""
        base = self.base_layer(states)
        inner = states.reshape(-1, states.shape[-1]).to(self.down.dtype) @ self.down.T  # [n, rank]
        rows = base.reshape(-1, base.shape[-1]).to(self.up.dtype)
        output: torch.Tensor = torch.addmm(rows, inner, self.up.T).view(base.shape).to(base.dtype)
        return output


def fuse(target: TargetModule, dtype: torch.dtype) -> TargetModule:
    """``target`` with a ``FusedLora`` of ``dtype`` instead of PEFT's layer, whose weights it rounds."""
    layer: Any = target.adapter_layer
    down, up = layer.lora_A[ADAPTER_NAME].weight, layer.lora_B[ADAPTER_NAME].weight * layer.scaling[ADAPTER_NAME]
    return replace(target, adapter_layer=FusedLora(target.base_layer, down.to(dtype), up.to(dtype)).eval())
