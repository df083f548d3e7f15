"""Bottleneck adapters as in Astraios (Zhuo et al. 2024): Parallel, AdapterH and AdapterP.

Each adapts a linear layer by a small network of two matrices with a non-linearity between them. The configuration keys
and tensor names are those of Astraios' fork of PEFT. The bundled adapter is one, and PEFT takes seconds to import; so
the layers are made here without it. ``learning.finetuning.bottleneck_tuner`` has those that PEFT trains.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import torch
from transformers.activations import ACT2FN

from starcoder_ls.engine.adapters import config_checks as checks
from starcoder_ls.engine.adapters.adapter_method import LayerMethod, layer_tensor_names
from starcoder_ls.engine.adapters.layer_change import Branch, Position
from starcoder_ls.engine.adapters.target_module import TargetModule

PEFT_TYPE = "BOTTLENECK"
NON_LINEARITIES = ("tanh", "relu", "gelu", "silu", "sigmoid", "leaky_relu", "linear")

# Where an adapter that is not parallel applies (Houlsby's two positions inside an MLP; Astraios' fork decides by the
# last part of the module's path): on the input of the first layer, on the output of the second.
_INPUT_TARGETS = frozenset({"c_fc", "up_proj", "gate_proj"})
_OUTPUT_TARGETS = frozenset({"c_proj", "down_proj"})


class BottleneckLayer(torch.nn.Module):
    """A linear layer ``W`` and the adapter ``delta(h) = up(f(down(h))) · scaling``.

    By position, the layer computes ``W x + delta(x)`` (parallel), ``W (x + delta(x))`` (input), or ``z + delta(z)``
    with ``z = W x`` (output). The adapter computes in the type of its own weights; the result is cast and then scaled,
    as in Astraios' fork (tests/data/astraios-golden). Its weights are created on the meta device.
    """

    def __init__(
        self,
        base_layer: torch.nn.Module,
        position: Position,
        bottleneck_size: int,
        non_linearity: str,
        scaling: float | Literal["learned"],
    ) -> None:
        super().__init__()
        self.base_layer = base_layer
        self.position = position
        inputs, outputs = branch_sizes(base_layer, position)
        self.adapter_down = torch.nn.Linear(inputs, bottleneck_size, bias=False, device="meta", dtype=torch.float32)
        self.adapter_up = torch.nn.Linear(bottleneck_size, outputs, bias=False, device="meta", dtype=torch.float32)
        self.adapter_scaling: float | torch.nn.Parameter
        if scaling == "learned":
            self.adapter_scaling = torch.nn.Parameter(torch.ones(1, device="meta"))
        else:
            self.adapter_scaling = scaling
        self.non_linearity_name = non_linearity
        self.non_linearity = ACT2FN[non_linearity]

    def delta(self, hidden_states: torch.Tensor) -> torch.Tensor:
        """[..., in] -> [..., out], in the type of ``hidden_states``."""
        hidden = self.non_linearity(self.adapter_down(hidden_states.to(self.adapter_down.weight.dtype)))
        return scale(self.adapter_up(hidden).to(hidden_states.dtype), self.adapter_scaling)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[..., in] -> [..., out]."""
        if self.position == "input":
            result: torch.Tensor = self.base_layer(self.delta(x) + x)
            return result
        result = self.base_layer(x)
        if self.position == "parallel":
            return result + self.delta(x).to(result.dtype)
        return self.delta(result) + result


class Bottleneck(LayerMethod):
    peft_type = PEFT_TYPE
    config_checks: ClassVar = {
        "bottleneck_size": checks.integer(1, 1 << 14),
        "non_linearity": checks.one_of(NON_LINEARITIES),
        "scaling": checks.Check(lambda value: value == "learned" or checks.is_number(value), checks.NUMBER.requirement),
        "use_parallel_adapter": checks.BOOLEAN,
        "target_modules": checks.MODULE_NAMES,
    }
    training_keys = frozenset({"adapter_dropout", "init_weights", "use_adapterp"})
    tensor_names = layer_tensor_names(r"(adapter_(down|up)\.weight|adapter_scaling)")
    merge_obstacle = "it is not linear"

    def default_values(self) -> Mapping[str, Any]:
        return {"bottleneck_size": 256, "non_linearity": "tanh", "scaling": 1.0, "use_parallel_adapter": False}

    def normalize(self, values: Mapping[str, Any]) -> Mapping[str, Any]:
        scaling = values["scaling"]
        return {**values, "scaling": float(scaling) if isinstance(scaling, int) else scaling}

    def create_layers(self, values: Mapping[str, Any], model: torch.nn.Module) -> list[TargetModule]:
        """Raises ValueError if the model lacks the modules, or if such an adapter cannot be at one of them."""
        names = values["target_modules"]
        suffixes = tuple(f".{name}" for name in names)
        targets = []
        for path, module in model.named_modules():
            if path not in names and not path.endswith(suffixes):
                continue
            if not hasattr(module, "in_features"):
                raise ValueError(f"{path} is not a linear layer")
            parent, _, name = path.rpartition(".")
            position = "parallel" if values["use_parallel_adapter"] else position_at(name)
            layer = BottleneckLayer(
                module, position, values["bottleneck_size"], values["non_linearity"], values["scaling"]
            )
            targets.append(TargetModule(path, model.get_submodule(parent), name, module, layer))
        if not targets:
            raise ValueError(f"it has none of the modules {', '.join(names)}")
        return targets

    def layer_change(self, target: TargetModule) -> Branch:
        layer: Any = target.adapter_layer
        up = layer.adapter_up.weight * layer.adapter_scaling
        return Branch(layer.position, layer.adapter_down.weight, up, layer.non_linearity_name)


def scale(values: torch.Tensor, scaling: float | torch.Tensor) -> torch.Tensor:
    """``values`` [...] times a number or a learned [1], which is cast to their type."""
    if isinstance(scaling, torch.Tensor):
        return values * scaling.to(values.dtype)
    return values if scaling == 1.0 else values * scaling


def branch_sizes(base_layer: Any, position: Position) -> tuple[int, int]:
    """The inputs and outputs of an adapter at ``position`` of a linear layer."""
    inputs, outputs = int(base_layer.in_features), int(base_layer.out_features)
    return {"parallel": (inputs, outputs), "input": (inputs, inputs), "output": (outputs, outputs)}[position]


def position_at(target_name: str) -> Position:
    """Raises ValueError if an adapter that is not parallel cannot be at the module ``target_name``."""
    if target_name in _INPUT_TARGETS:
        return "input"
    if target_name in _OUTPUT_TARGETS:
        return "output"
    raise ValueError(
        f"a bottleneck adapter that is not parallel cannot adapt {target_name}, only "
        f"{', '.join(sorted(_INPUT_TARGETS | _OUTPUT_TARGETS))}"
    )
