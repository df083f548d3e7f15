"""Astraios' bottleneck adapters (Parallel, AdapterH, AdapterP) as a method of PEFT, for running and for training.

Decides the formula, where in a block it applies, and the file format, which is Astraios'. Refuses to know engines.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from peft import PeftConfig, PeftType
from peft.tuners.tuners_utils import BaseTuner, BaseTunerLayer
from safetensors.torch import save_file
from transformers.activations import ACT2FN

from starcoder_ls.engine.adapters import peft_compat

KIND = "BOTTLENECK"
NON_LINEARITIES = ("tanh", "relu", "gelu", "silu", "sigmoid", "leaky_relu", "linear")

CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"
FINGERPRINT = "starcoder_ls_base"
"""Key of the base's fingerprint in the metadata of adapter_model.safetensors."""

# Where the side branch sits when it is not parallel (Houlsby's two places inside an MLP; Astraios' fork names them by
# the last part of the module's path): on the way into the first layer, on the way out of the second.
_BEFORE = frozenset({"c_fc", "up_proj", "gate_proj"})
_AFTER = frozenset({"c_proj", "down_proj"})


@dataclass
class BottleneckConfig(PeftConfig):  # type: ignore[misc]
    """The keys of Astraios' adapter_config.json. ``use_adapterp`` is informational there and here."""

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
        self.peft_type = PeftType(KIND)


class BottleneckLayer(torch.nn.Module, BaseTunerLayer):  # type: ignore[misc]
    """A linear layer ``W`` and its side branch ``delta(h) = up(f(down(h))) · scaling``.

    Parallel: ``W x + delta(x)``; before: ``W (x + delta(x))``; after: ``z + delta(z)`` of ``z = W x``. The branch is
    computed in its own weights' type, cast, then scaled, as in Astraios' fork (tests/data/astraios-golden).
    """

    adapter_layer_names = ("adapter_down", "adapter_up", "adapter_scaling")

    def __init__(self, original: torch.nn.Module, place: str, name: str, config: BottleneckConfig) -> None:
        super().__init__()
        self.base_layer = original
        self.place = place
        self.in_features = int(original.in_features)  # type: ignore[arg-type]
        self.out_features = int(original.out_features)  # type: ignore[arg-type]
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
        entry = self.out_features if self.place == "after" else self.in_features
        leave = self.in_features if self.place == "before" else self.out_features
        down = torch.nn.Linear(entry, config.bottleneck_size, bias=False, dtype=torch.float32)
        up = torch.nn.Linear(config.bottleneck_size, leave, bias=False, dtype=torch.float32)
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

    def delta(self, name: str, entry: torch.Tensor) -> torch.Tensor:
        """[..., in] -> [..., out], in the type of ``entry``."""
        down: Any = self.adapter_down[name]
        hidden = torch.nn.functional.dropout(entry.to(down.weight.dtype), self._dropout[name], self.training)
        branch: torch.Tensor = self.adapter_up[name](self.non_linearity(down(hidden))).to(entry.dtype)
        scaling = self._scaling.get(name)
        if scaling is None:
            learned: torch.Tensor = self.adapter_scaling[name]
            return branch * learned.to(entry.dtype)
        return branch if scaling == 1.0 else branch * scaling

    def forward(self, x: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        active: Any = () if self.disable_adapters else self.active_adapters
        names = [name for name in active if name in self.adapter_down]
        entry = x
        if self.place == "before":
            for name in names:
                x = self.delta(name, x) + x
        result: torch.Tensor = self.base_layer(x, *args, **kwargs)
        for name in names:
            if self.place == "parallel":
                result = result + self.delta(name, entry).to(result.dtype)
            elif self.place == "after":
                result = self.delta(name, result) + result
        return result

    def merge(self, safe_merge: bool = False, adapter_names: list[str] | None = None) -> None:
        raise NotImplementedError("a bottleneck adapter is not linear, so it cannot become part of a weight")

    def unmerge(self) -> None:
        raise NotImplementedError("a bottleneck adapter is never merged")


class BottleneckTuner(BaseTuner):  # type: ignore[misc]
    """What PEFT asks to put the layers in. Lists of ``target_modules`` only; there is no default for them."""

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
            raise ValueError(f"{current_key} is no linear layer")
        place = "parallel" if peft_config.use_parallel_adapter else _place(target_name)
        self._replace_module(parent, target_name, BottleneckLayer(target, place, adapter_name, peft_config), target)


peft_compat.register("bottleneck", BottleneckConfig, BottleneckTuner, "adapter_")


def parallel(bottleneck_size: int, target_modules: list[str], non_linearity: str = "tanh") -> BottleneckConfig:
    """A fresh Parallel adapter that changes nothing until it is trained: its second matrix is zero."""
    return BottleneckConfig(
        target_modules=target_modules,
        bottleneck_size=bottleneck_size,
        non_linearity=non_linearity,
        use_parallel_adapter=True,
        init_weights="mam_adapter",
        task_type="CAUSAL_LM",
    )


def add_trainable(model: torch.nn.Module, config: BottleneckConfig) -> list[torch.nn.Parameter]:
    """Put a fresh adapter into ``model``, active; the answer is its weights, the only ones left with a gradient.

    Raises ValueError where ``target_modules`` name nothing in the model.
    """
    config.inference_mode = False
    sites = peft_compat.inject(config, model)
    weights = [weight for site in sites for weight in site.weights().values()]
    model.requires_grad_(False)
    for weight in weights:
        weight.requires_grad_(True)
    return weights


def save(model: torch.nn.Module, config: BottleneckConfig, folder: Path, base_name: str, base_fingerprint: str) -> None:
    """Write the adapter that ``add_trainable`` put into ``model`` in Astraios' format, as safetensors.

    ``base_fingerprint`` is ``fingerprint.of`` the base's checkpoint: another base is refused by it later.
    """
    folder.mkdir(parents=True, exist_ok=True)
    said = {key: value for key, value in config.to_dict().items() if key in _PUBLISHED}
    said |= {"peft_type": KIND, "inference_mode": True, "base_model_name_or_path": base_name}
    weights: dict[str, torch.Tensor] = {}
    for path, module in model.named_modules():
        if isinstance(module, BottleneckLayer):
            site = peft_compat.Site(path, model, "", module.base_layer, module)
            weights |= {name: weight.detach().cpu().contiguous() for name, weight in site.weights().items()}
    save_file(weights, folder / WEIGHTS, {"format": "pt", FINGERPRINT: base_fingerprint})
    (folder / CONFIG).write_text(json.dumps(said, indent=2, sort_keys=True) + "\n", encoding="utf-8")


_PUBLISHED = frozenset(
    {"adapter_dropout", "bias", "bottleneck_size", "init_weights", "modules_to_save", "non_linearity", "scaling"}
    | {"revision", "target_modules", "task_type", "use_adapterp", "use_parallel_adapter"}
)  # fmt: skip


def _place(target_name: str) -> str:
    if target_name in _BEFORE:
        return "before"
    if target_name in _AFTER:
        return "after"
    raise ValueError(
        f"a bottleneck adapter that is not parallel has no place at {target_name}, only at "
        f"{', '.join(sorted(_BEFORE | _AFTER))}"
    )


def _initialize(down: torch.nn.Linear, up: torch.nn.Linear, way: str) -> None:
    if way == "mam_adapter":
        torch.nn.init.kaiming_uniform_(down.weight, a=5**0.5)
        torch.nn.init.zeros_(up.weight)
        return
    torch.nn.init.normal_(down.weight, std=0.02)
    torch.nn.init.normal_(up.weight, std=0.02)
