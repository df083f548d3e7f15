"""The interface of an adapter method, and the part that all methods that change layers have in common.

``methods/`` has one module per method, each with a subclass; ``registry`` lists them. The modules that read, check,
load and merge adapters are generic and call this interface.
"""

from __future__ import annotations

import re
import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from typing import Any, ClassVar

import torch

from starcoder_ls.engine.adapters.config_checks import Check
from starcoder_ls.engine.adapters.layer_change import LayerChange
from starcoder_ls.engine.adapters.target_module import TargetModule, execution_device, remove_layers
from starcoder_ls.engine.adapters.virtual_tokens import VirtualTokens
from starcoder_ls.engine.memory import gc_frozen

_PEFT_COMPAT = "starcoder_ls.engine.adapters.peft_compat"


class AdapterMethod(ABC):
    """A method of parameter-efficient tuning. Instances have no state."""

    peft_type: ClassVar[str]
    """PEFT's name of the method, the value of ``peft_type`` in adapter_config.json."""

    config_checks: ClassVar[Mapping[str, Check]]
    """The keys of adapter_config.json that change the computation, each with the check of its value."""

    training_keys: ClassVar[frozenset[str]] = frozenset()
    """Keys that matter in training only and are ignored here."""

    tensor_names: ClassVar[re.Pattern[str]]
    """Matches the whole name of each tensor that such an adapter may contain."""

    merge_obstacle: ClassVar[str | None]
    """Why the method cannot become part of the base's weights exactly; None if it can."""

    uses_virtual_tokens: ClassVar[bool]
    """True if the method puts virtual tokens before the text; False if it changes layers."""

    def default_values(self) -> Mapping[str, Any]:
        """The values of keys that a file leaves out, as PEFT's configuration class has them; None for all others."""
        return {}

    def is_inactive(self, key: str, value: object) -> bool:
        """Whether ``value`` of a ``key`` outside ``config_checks`` has no effect on a trained adapter."""
        del key, value
        return False

    def normalize(self, values: Mapping[str, Any]) -> Mapping[str, Any]:
        """The checked values of ``config_checks``, converted to the types that the layers need."""
        return values

    def find_conflict(self, values: Mapping[str, Any]) -> str | None:
        """The problem with values that are valid each but not together, as a phrase; None if there is none."""
        del values
        return None

    def find_base_conflict(self, quantization: str, dtype: torch.dtype) -> str | None:
        """Why the method does not run on a base with this ``model.quantization`` and this type of activations, and
        what to change, as complete sentences; None if it runs."""
        del quantization, dtype
        return None

    @abstractmethod
    def create_layers(self, values: Mapping[str, Any], model: torch.nn.Module) -> list[TargetModule]:
        """The adapter's layers for ``model``, without weights and not active; empty for virtual tokens.

        Raises what PEFT raises if the configuration does not apply to the model; the model is then unchanged.
        """

    @abstractmethod
    def tensor_shapes(
        self, values: Mapping[str, Any], model: torch.nn.Module, targets: Sequence[TargetModule]
    ) -> Mapping[str, tuple[int, ...]]:
        """Name -> shape of exactly the tensors that the adapter must have for ``model``."""

    @abstractmethod
    def load_tensors(
        self,
        tensors: Mapping[str, torch.Tensor],
        model: torch.nn.Module,
        targets: Sequence[TargetModule],
    ) -> VirtualTokens | None:
        """Put the tensors, which have the right names and shapes, on the model's device.

        Methods that change layers fill ``targets`` and return None; the others return the virtual tokens.
        """

    def layer_change(self, target: TargetModule) -> LayerChange | None:
        """What the adapter layer of ``target``, which has its weights, computes; None if it is neither a branch nor
        factors, so that only the layer itself can compute it."""
        del target
        return None

    def merge(self, targets: Sequence[TargetModule]) -> None:
        """Add the adapter to the weights of the base's layers. Only if ``merge_obstacle`` is None."""
        with torch.inference_mode():
            for target in targets:
                target.adapter_layer.merge()  # type: ignore[operator]


class LayerMethod(AdapterMethod):
    """A method whose layers are wrapped around linear layers of the base."""

    uses_virtual_tokens = False

    def tensor_shapes(
        self, values: Mapping[str, Any], model: torch.nn.Module, targets: Sequence[TargetModule]
    ) -> Mapping[str, tuple[int, ...]]:
        del values, model
        return {name: tuple(weight.shape) for target in targets for name, weight in target.weights().items()}

    def load_tensors(
        self,
        tensors: Mapping[str, torch.Tensor],
        model: torch.nn.Module,
        targets: Sequence[TargetModule],
    ) -> None:
        """As float32, each on the device of the layer it adapts."""
        del model
        for target in targets:
            device = execution_device(target.base_layer)
            for name in target.weights():
                value = tensors[name].to(device=device, dtype=torch.float32)
                target.set_weight(name, torch.nn.Parameter(value, requires_grad=False))
            target.adapter_layer.eval()  # PEFT creates the layers in training mode, with dropout


class PeftLayerMethod(LayerMethod):
    """A method with PEFT's own layers. PEFT is imported when such an adapter is read."""

    peft_arguments: ClassVar[Mapping[str, Any]] = {}
    """Further arguments of the configuration: nothing may be initialized at random or read from a file."""

    def default_values(self) -> Mapping[str, Any]:
        return _import_peft_compat().default_values(self.peft_type)  # type: ignore[no-any-return]

    def create_config(self, values: Mapping[str, Any]) -> Any:
        """PEFT's configuration for inference."""
        config_class = _import_peft_compat().find_config_class(self.peft_type)
        return config_class(**values, **self.peft_arguments, inference_mode=True, task_type="CAUSAL_LM")

    def create_layers(self, values: Mapping[str, Any], model: torch.nn.Module) -> list[TargetModule]:
        targets: list[TargetModule] = _import_peft_compat().inject_layers(
            self.create_config(values), model, is_empty=True
        )
        remove_layers(targets)
        return targets


def _import_peft_compat() -> Any:
    """The first import takes seconds, and would take more if the garbage collector examined what it makes."""
    with nullcontext() if _PEFT_COMPAT in sys.modules else gc_frozen():
        from starcoder_ls.engine.adapters import peft_compat
    return peft_compat


def layer_tensor_names(suffix: str) -> re.Pattern[str]:
    """Matches PEFT's names of tensors that end in ``suffix``, a regular expression, at any module path."""
    return re.compile(r"base_model\.model\.[A-Za-z0-9_.]+\." + suffix)
