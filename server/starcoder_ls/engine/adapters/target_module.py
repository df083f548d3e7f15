"""Modules of the base that an adapter changes, with both versions of each: what the code that uses adapters needs to
know of PEFT's layers, without PEFT."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace

import torch

ADAPTER_NAME = "resident"
"""PEFT's name for the adapter in a layer: each of our adapter layers contains one adapter only."""


@dataclass(frozen=True, slots=True)
class TargetModule:
    """A module of the base that an adapter changes: its path, its parent and name there, and both versions of it."""

    path: str
    parent: torch.nn.Module
    name: str
    base_layer: torch.nn.Module
    adapter_layer: torch.nn.Module

    def weights(self) -> dict[str, torch.nn.Parameter]:
        """The adapter's weights by the names that they have in files."""
        return {
            _name_in_file(f"{self.path}.{name}"): weight
            for name, weight in self.adapter_layer.named_parameters()
            if not name.startswith("base_layer.")
        }

    def set_weight(self, name: str, value: torch.nn.Parameter) -> None:
        """Replace the weight whose name in files is ``name``, which may still be on the meta device.

        Raises KeyError if the layer has no such weight.
        """
        for path, _ in self.adapter_layer.named_parameters():
            if not path.startswith("base_layer.") and _name_in_file(f"{self.path}.{path}") == name:
                owner, _, attribute = path.rpartition(".")
                self.adapter_layer.get_submodule(owner).register_parameter(attribute, value)
                return
        raise KeyError(name)

    def use_adapter_layer(self) -> None:
        self.parent._modules[self.name] = self.adapter_layer

    def use_base_layer(self) -> None:
        self.parent._modules[self.name] = self.base_layer


def copy_base(module: torch.nn.Module) -> torch.nn.Module:
    """Copies of ``module`` and of the modules in it that have modules themselves; the others are shared.

    Layers that are put into the copy are not in ``module``, and those that an adapter has put there are not in the
    copy. May be called from any thread, also while another one switches adapters.
    """
    copied = object.__new__(type(module))
    copied.__dict__.update(module.__dict__)
    children: dict[str, torch.nn.Module | None] = {}
    for name, child in module._modules.items():
        base = child if child is None else child._modules.get("base_layer") or child
        children[name] = copy_base(base) if base is not None and base._modules else base
    copied.__dict__["_modules"] = children
    return copied


def move_to(targets: list[TargetModule], model: torch.nn.Module) -> list[TargetModule]:
    """``targets`` of a copy of ``model`` by ``copy_base`` as targets of ``model``."""
    return [replace(target, parent=model.get_submodule(target.path.rpartition(".")[0])) for target in targets]


def remove_layers(targets: list[TargetModule]) -> None:
    """Restore the model as it was before the adapter layers of ``targets`` were put into it."""
    for target in targets:
        target.use_base_layer()


def has_8_bit_layers(model: torch.nn.Module) -> bool:
    """Whether ``model`` has bitsandbytes' 8-bit layers, which have a `state`. PEFT moves its layers to the device of
    such layers, and layers on the meta device cannot be moved."""
    return any(getattr(module, "state", None) is not None for module in model.modules())


def execution_device(module: torch.nn.Module) -> torch.device:
    """The device on which ``module`` computes. accelerate keeps offloaded weights on "meta" and stores their device in
    a hook."""
    hook = getattr(module, "_hf_hook", None)
    if hook is not None and getattr(hook, "execution_device", None) is not None:
        return torch.device(hook.execution_device)
    tensors = itertools.chain(module.parameters(), module.buffers())
    return next((tensor.device for tensor in tensors), torch.device("cpu"))


def _name_in_file(path: str) -> str:
    """PEFT's files name weights as if its two wrappers were around the model, and without the adapter's name."""
    return "base_model.model." + path.replace(f".{ADAPTER_NAME}.", ".").removesuffix(f".{ADAPTER_NAME}")
