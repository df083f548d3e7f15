"""Bottleneck adapters as in Astraios (Zhuo et al. 2024): Parallel, AdapterH and AdapterP, registered with PEFT.

Each adapts a linear layer by a small network of two matrices with a non-linearity between them. The configuration keys
and tensor names are those of Astraios' fork of PEFT.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from peft import PeftConfig, PeftType
from peft.tuners.tuners_utils import BaseTuner, BaseTunerLayer
from transformers.activations import ACT2FN

from starcoder_ls.engine.adapters import config_checks as checks
from starcoder_ls.engine.adapters import peft_compat
from starcoder_ls.engine.adapters.adapter_method import LayerMethod, layer_tensor_names
from starcoder_ls.engine.adapters.layer_change import Branch, Position

PEFT_TYPE = "BOTTLENECK"
NON_LINEARITIES = ("tanh", "relu", "gelu", "silu", "sigmoid", "leaky_relu", "linear")

# Where an adapter that is not parallel applies (Houlsby's two positions inside an MLP; Astraios' fork decides by the
# last part of the module's path): on the input of the first layer, on the output of the second.
_INPUT_TARGETS = frozenset({"c_fc", "up_proj", "gate_proj"})
_OUTPUT_TARGETS = frozenset({"c_proj", "down_proj"})


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


class BottleneckLayer(torch.nn.Module, BaseTunerLayer):  # type: ignore[misc]
    """A linear layer ``W`` and the adapter ``delta(h) = up(f(down(h))) · scaling``.

    By position, the layer computes ``W x + delta(x)`` (parallel), ``W (x + delta(x))`` (input), or ``z + delta(z)``
    with ``z = W x`` (output). The adapter computes in the type of its own weights; the result is cast and then scaled,
    as in Astraios' fork (tests/data/astraios-golden).
    """

    adapter_layer_names = ("adapter_down", "adapter_up", "adapter_scaling")

    def __init__(self, base_layer: torch.nn.Module, position: Position, name: str, config: BottleneckConfig) -> None:
        super().__init__()
        self.base_layer = base_layer
        self.position = position
        self.in_features = int(base_layer.in_features)  # type: ignore[arg-type]
        self.out_features = int(base_layer.out_features)  # type: ignore[arg-type]
        self.adapter_down = torch.nn.ModuleDict()
        self.adapter_up = torch.nn.ModuleDict()
        self.adapter_scaling = torch.nn.ParameterDict()
        self._scaling: dict[str, float] = {}
        self._dropout: dict[str, float] = {}
        self.non_linearity_name = config.non_linearity
        self.non_linearity = ACT2FN[config.non_linearity]
        self._active_adapter = name
        self._disable_adapters = False
        self.merged_adapters: list[str] = []
        self.add_adapter(name, config)

    def add_adapter(self, name: str, config: BottleneckConfig) -> None:
        in_features = self.out_features if self.position == "output" else self.in_features
        out_features = self.in_features if self.position == "input" else self.out_features
        down = torch.nn.Linear(in_features, config.bottleneck_size, bias=False, dtype=torch.float32)
        up = torch.nn.Linear(config.bottleneck_size, out_features, bias=False, dtype=torch.float32)
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

    def scaling(self, name: str) -> float | torch.Tensor:
        """By what the branch is multiplied: a number, or [1] if it is learned."""
        return self._scaling[name] if name in self._scaling else self.adapter_scaling[name]

    def delta(self, name: str, hidden_states: torch.Tensor) -> torch.Tensor:
        """[..., in] -> [..., out], in the type of ``hidden_states``."""
        down: Any = self.adapter_down[name]
        x = torch.nn.functional.dropout(hidden_states.to(down.weight.dtype), self._dropout[name], self.training)
        result: torch.Tensor = self.adapter_up[name](self.non_linearity(down(x))).to(hidden_states.dtype)
        scaling = self._scaling.get(name)
        if scaling is None:
            learned: torch.Tensor = self.adapter_scaling[name]
            return result * learned.to(hidden_states.dtype)
        return result if scaling == 1.0 else result * scaling

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
    tuner_layer_cls = BottleneckLayer
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
        if isinstance(target, BottleneckLayer):
            target.add_adapter(adapter_name, peft_config)
            return
        if not hasattr(target, "in_features"):
            raise ValueError(f"{current_key} is not a linear layer")
        position = "parallel" if peft_config.use_parallel_adapter else _position_at(target_name)
        self._replace_module(parent, target_name, BottleneckLayer(target, position, adapter_name, peft_config), target)


peft_compat.register_method("bottleneck", BottleneckConfig, BottleneckTuner, "adapter_")


class Bottleneck(LayerMethod):
    peft_type = PEFT_TYPE
    peft_config = BottleneckConfig
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

    def normalize(self, values: Mapping[str, Any]) -> Mapping[str, Any]:
        scaling = values["scaling"]
        return {**values, "scaling": float(scaling) if isinstance(scaling, int) else scaling}

    def layer_change(self, target: peft_compat.TargetModule) -> Branch:
        layer: Any = target.adapter_layer
        name = peft_compat.ADAPTER_NAME
        return Branch(
            layer.position,
            layer.adapter_down[name].weight,
            layer.adapter_up[name].weight * layer.scaling(name),
            layer.non_linearity_name,
        )


def _position_at(target_name: str) -> Position:
    """Raises ValueError if an adapter that is not parallel cannot be at the module ``target_name``."""
    if target_name in _INPUT_TARGETS:
        return "input"
    if target_name in _OUTPUT_TARGETS:
        return "output"
    raise ValueError(
        f"a bottleneck adapter that is not parallel cannot adapt {target_name}, only "
        f"{', '.join(sorted(_INPUT_TARGETS | _OUTPUT_TARGETS))}"
    )


def _initialize(down: torch.nn.Linear, up: torch.nn.Linear, scheme: str) -> None:
    """ "mam_adapter": the adapter changes nothing before it is trained; "bert": both matrices N(0, 0.02)."""
    if scheme == "mam_adapter":
        torch.nn.init.kaiming_uniform_(down.weight, a=5**0.5)
        torch.nn.init.zeros_(up.weight)
        return
    torch.nn.init.normal_(down.weight, std=0.02)
    torch.nn.init.normal_(up.weight, std=0.02)
