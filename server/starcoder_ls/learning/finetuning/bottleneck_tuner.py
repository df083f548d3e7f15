"""Bottleneck adapters as a method of PEFT, for training: configuration, layer and tuner under the name BOTTLENECK.

The layer computes what ``engine.adapters.methods.bottleneck`` computes for a trained adapter, and can also have several
adapters, dropout and initial weights, as PEFT's layers can.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from peft import PeftConfig, PeftType
from peft.tuners.tuners_utils import BaseTuner, BaseTunerLayer
from transformers.activations import ACT2FN

from starcoder_ls.engine.adapters import peft_compat
from starcoder_ls.engine.adapters.layer_change import Position
from starcoder_ls.engine.adapters.methods.bottleneck import PEFT_TYPE, branch_sizes, position_at, scale


@dataclass
class BottleneckConfig(PeftConfig):  # type: ignore[misc]
    """The keys of Astraios' adapter_config.json. ``use_adapterp`` has no effect there or here."""

    target_modules: list[str] | None = None
    exclude_modules: list[str] | None = None
    bottleneck_size: int = 256
    non_linearity: str = "tanh"
    adapter_dropout: float = 0.0
    scaling: float | str = 1.0
    use_parallel_adapter: bool = False
    use_adapterp: bool = False
    init_weights: str = field(default="bert", metadata={"help": "bert: both N(0, .02); mam_adapter: no effect yet"})
    bias: str = "none"
    modules_to_save: list[str] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self.peft_type = PeftType(PEFT_TYPE)


class TrainableBottleneckLayer(torch.nn.Module, BaseTunerLayer):  # type: ignore[misc]
    """``methods.bottleneck.BottleneckLayer`` with the sum of all active adapters."""

    adapter_layer_names = ("adapter_down", "adapter_up", "adapter_scaling")

    def __init__(self, base_layer: torch.nn.Module, position: Position, name: str, config: BottleneckConfig) -> None:
        super().__init__()
        self.base_layer = base_layer
        self.position = position
        self.adapter_down = torch.nn.ModuleDict()
        self.adapter_up = torch.nn.ModuleDict()
        self.adapter_scaling = torch.nn.ParameterDict()
        self._scaling: dict[str, float] = {}
        self._dropout: dict[str, float] = {}
        self.non_linearity = ACT2FN[config.non_linearity]
        self._active_adapter = name
        self._disable_adapters = False
        self.merged_adapters: list[str] = []
        self.add_adapter(name, config)

    def add_adapter(self, name: str, config: BottleneckConfig) -> None:
        inputs, outputs = branch_sizes(self.base_layer, self.position)
        down = torch.nn.Linear(inputs, config.bottleneck_size, bias=False, dtype=torch.float32)
        up = torch.nn.Linear(config.bottleneck_size, outputs, bias=False, dtype=torch.float32)
        if down.weight.device.type != "meta":
            _initialize(down, up, config.init_weights)
        self.adapter_down[name], self.adapter_up[name] = down, up
        self._dropout[name] = config.adapter_dropout
        if config.scaling == "learned":
            self.adapter_scaling[name] = torch.nn.Parameter(torch.ones(1))
        else:
            self._scaling[name] = float(config.scaling)
        device = next(self.base_layer.parameters()).device
        if device.type != "meta" and down.weight.device.type != "meta":
            down.to(device), up.to(device)
        active: Any = self.active_adapters
        BaseTunerLayer.set_adapter(self, active, inference_mode=config.inference_mode)

    def delta(self, name: str, hidden_states: torch.Tensor) -> torch.Tensor:
        """[..., in] -> [..., out], in the type of ``hidden_states``."""
        down: Any = self.adapter_down[name]
        x = torch.nn.functional.dropout(hidden_states.to(down.weight.dtype), self._dropout[name], self.training)
        result: torch.Tensor = self.adapter_up[name](self.non_linearity(down(x))).to(hidden_states.dtype)
        return scale(result, self._scaling[name] if name in self._scaling else self.adapter_scaling[name])

    def forward(self, x: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        """[..., in] -> [..., out]."""
        active: Any = () if self.disable_adapters else self.active_adapters
        names = [name for name in active if name in self.adapter_down]
        layer_input = x
        if self.position == "input":
            for name in names:
                x = self.delta(name, x) + x
        result: torch.Tensor = self.base_layer(x, *args, **kwargs)
        for name in names:
            if self.position == "parallel":
                result = result + self.delta(name, layer_input).to(result.dtype)
            elif self.position == "output":
                result = self.delta(name, result) + result
        return result

    def merge(self, safe_merge: bool = False, adapter_names: list[str] | None = None) -> None:
        """Raises NotImplementedError: no weight equals a layer with a non-linearity beside it."""
        raise NotImplementedError("a bottleneck adapter is not linear, so it cannot be merged into a weight")

    def unmerge(self) -> None:
        """Raises NotImplementedError, as ``merge`` does."""
        raise NotImplementedError("a bottleneck adapter is never merged")


class BottleneckTuner(BaseTuner):  # type: ignore[misc]
    """The class through which PEFT creates the layers. ``target_modules`` must be a list; it has no default."""

    prefix = "adapter_"
    tuner_layer_cls = TrainableBottleneckLayer
    target_module_mapping: Mapping[str, list[str]] = {}

    def _create_and_replace(
        self,
        peft_config: BottleneckConfig,
        adapter_name: str,
        target: torch.nn.Module,
        target_name: str,
        parent: torch.nn.Module,
        current_key: str,
        parameter_name: str | None = None,
    ) -> None:
        del parameter_name
        if isinstance(target, TrainableBottleneckLayer):
            target.add_adapter(adapter_name, peft_config)
            return
        if not hasattr(target, "in_features"):
            raise ValueError(f"{current_key} is not a linear layer")
        position = "parallel" if peft_config.use_parallel_adapter else position_at(target_name)
        layer = TrainableBottleneckLayer(target, position, adapter_name, peft_config)
        self._replace_module(parent, target_name, layer, target)


peft_compat.register_method("bottleneck", BottleneckConfig, BottleneckTuner, "adapter_")


def _initialize(down: torch.nn.Linear, up: torch.nn.Linear, scheme: str) -> None:
    """ "mam_adapter": the adapter changes nothing before it is trained; "bert": both matrices N(0, 0.02)."""
    if scheme == "mam_adapter":
        torch.nn.init.kaiming_uniform_(down.weight, a=5**0.5)
        torch.nn.init.zeros_(up.weight)
        return
    torch.nn.init.normal_(down.weight, std=0.02)
    torch.nn.init.normal_(up.weight, std=0.02)
