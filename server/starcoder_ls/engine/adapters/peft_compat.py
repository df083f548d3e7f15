"""All uses of PEFT beyond its public API; pyproject.toml pins PEFT's version for this module.

Gives a method of ours a name in PEFT, and removes the layers that PEFT put into a model without leaving a trace.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

import torch
from peft import PeftType, inject_adapter_in_model
from peft.tuners.tuners_utils import BaseTunerLayer
from peft.utils import register_peft_method

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


def register_method(name: str, config_class: type, tuner_class: type, prefix: str) -> None:
    """Make ``name`` a method of PEFT; a second call with the same name changes nothing.

    ``register_peft_method`` requires a member of the enum ``PeftType``, and transformers and PEFT read its ``.value``,
    so a plain string does not suffice. Python 3.11 looks members up in ``_member_map_``, 3.12 and later on the class.
    """
    peft_type = name.upper()
    if peft_type in PeftType._member_map_:
        return
    member = str.__new__(PeftType, peft_type)
    member._name_, member._value_ = peft_type, peft_type
    PeftType._member_map_[peft_type] = member
    PeftType._member_names_.append(peft_type)
    PeftType._value2member_map_[peft_type] = member
    type.__setattr__(PeftType, peft_type, member)
    register_peft_method(name=name, config_cls=config_class, model_cls=tuner_class, prefix=prefix)


def inject_layers(config: Any, model: torch.nn.Module, is_empty: bool = False) -> list[TargetModule]:
    """Let PEFT put the layers of ``config`` into ``model``; with ``is_empty`` on the meta device, without memory.

    May be called from any thread, one at a time for each ``model``: PEFT's ``low_cpu_mem_usage`` would change torch for
    all threads, and ``torch.device`` does so for this one. Raises what PEFT raises, ValueError in most cases; ``model``
    is then unchanged.
    """
    before = dict(model.named_modules())
    is_empty = is_empty and not has_8_bit_layers(model)
    try:
        with suppress_warnings(), torch.inference_mode(False), torch.device("meta") if is_empty else nullcontext():
            inject_adapter_in_model(config, model, ADAPTER_NAME)
    except BaseException:
        remove_layers(_find_targets(model, before))
        raise
    finally:
        for attribute in ("peft_config", "_hf_peft_config_loaded"):
            model.__dict__.pop(attribute, None)
    return _find_targets(model, before)


def has_8_bit_layers(model: torch.nn.Module) -> bool:
    """Whether ``model`` has bitsandbytes' 8-bit layers, which have a `state`. PEFT moves its layers to the device of
    such layers, and layers on the meta device cannot be moved."""
    return any(getattr(module, "state", None) is not None for module in model.modules())


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
    """Restore the model as it was before ``inject_layers``."""
    for target in targets:
        target.use_base_layer()


@contextmanager
def suppress_warnings() -> Iterator[None]:
    """PEFT 0.21 uses a name that transformers 5.23 has deprecated, and warns of tied weights even if nothing is
    merged."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Model has `tie_word_embeddings=True`", UserWarning)
        warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated", FutureWarning)
        yield


def execution_device(module: torch.nn.Module) -> torch.device:
    """The device on which ``module`` computes. accelerate keeps offloaded weights on "meta" and stores their device in
    a hook."""
    hook = getattr(module, "_hf_hook", None)
    if hook is not None and getattr(hook, "execution_device", None) is not None:
        return torch.device(hook.execution_device)
    tensors = itertools.chain(module.parameters(), module.buffers())
    return next((tensor.device for tensor in tensors), torch.device("cpu"))


def _find_targets(model: torch.nn.Module, before: dict[str, torch.nn.Module]) -> list[TargetModule]:
    """The modules of ``before`` in whose place an adapter layer is now."""
    targets = []
    for path, module in model.named_modules():
        base_layer = before.get(path)
        if base_layer is not None and module is not base_layer and isinstance(module, BaseTunerLayer):
            parent, _, name = path.rpartition(".")
            targets.append(TargetModule(path, model.get_submodule(parent), name, base_layer, module))
    return targets


def _name_in_file(path: str) -> str:
    """PEFT's files name weights as if its two wrappers were around the model, and without the adapter's name."""
    return "base_model.model." + path.replace(f".{ADAPTER_NAME}.", ".").removesuffix(f".{ADAPTER_NAME}")
