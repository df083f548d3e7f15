"""Everything we lean on in PEFT that is not its public API; pyproject.toml pins PEFT for this file.

Decides how a method of ours gets a name in PEFT, and how layers that PEFT made are taken out of a model again. Refuses
to know any method's formula.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from peft import PeftType, inject_adapter_in_model
from peft.tuners.tuners_utils import BaseTunerLayer
from peft.utils import register_peft_method

SLOT = "resident"
"""PEFT's name for the only adapter that each of our layers holds."""


@dataclass(frozen=True, slots=True)
class Site:
    """One place of the model that an adapter changes: its path, whose child it is, and both modules for it."""

    path: str
    parent: torch.nn.Module
    child: str
    original: torch.nn.Module
    adapted: torch.nn.Module

    def weights(self) -> dict[str, torch.nn.Parameter]:
        """The adapter's own, by the names under which files hold them."""
        return {
            _in_files(f"{self.path}.{name}"): weight
            for name, weight in self.adapted.named_parameters()
            if not name.startswith("base_layer.")
        }

    def replace(self, name: str, value: torch.nn.Parameter) -> None:
        """Put ``value`` where the weight of that name is, which may be on no device yet."""
        for path, _ in self.adapted.named_parameters():
            if not path.startswith("base_layer.") and _in_files(f"{self.path}.{path}") == name:
                owner, _, last = path.rpartition(".")
                self.adapted.get_submodule(owner).register_parameter(last, value)
                return
        raise KeyError(name)


def register(name: str, config_class: type, tuner_class: type, prefix: str) -> None:
    """Make ``name`` a method of PEFT. Idempotent.

    ``register_peft_method`` demands a member of the enum ``PeftType``; transformers and PEFT read ``.value`` of it, so
    that a plain string in their tables would not do. Python 3.11 looks members up in ``_member_map_``, 3.12 and later
    on the class.
    """
    kind = name.upper()
    if kind in PeftType._member_map_:
        return
    member = str.__new__(PeftType, kind)
    member._name_, member._value_ = kind, kind
    PeftType._member_map_[kind] = member
    PeftType._member_names_.append(kind)
    PeftType._value2member_map_[kind] = member
    type.__setattr__(PeftType, kind, member)
    register_peft_method(name=name, config_cls=config_class, model_cls=tuner_class, prefix=prefix)


def inject(config: Any, model: torch.nn.Module, is_empty: bool = False) -> list[Site]:
    """Let PEFT put its layers into ``model``, and say where; ``is_empty`` makes them without memory.

    Raises what PEFT raises; the model is as before then.
    """
    before = dict(model.named_modules())
    # Beside bitsandbytes' 8-bit layers, which have a `state`, PEFT moves its own to their device: without memory they
    # cannot follow.
    is_empty = is_empty and not any(getattr(module, "state", None) is not None for module in before.values())
    try:
        with quiet(), torch.inference_mode(False):
            inject_adapter_in_model(config, model, SLOT, low_cpu_mem_usage=is_empty)
    except BaseException:
        take_out(_sites(model, before))
        raise
    finally:
        for trace in ("peft_config", "_hf_peft_config_loaded"):
            model.__dict__.pop(trace, None)
    return _sites(model, before)


def take_out(sites: list[Site]) -> None:
    """The model as it was before ``inject``."""
    for site in sites:
        site.parent._modules[site.child] = site.original


@contextmanager
def quiet() -> Iterator[None]:
    """PEFT 0.21 asks transformers 5.23 by a name that transformers has since changed, and warns of tied weights where
    none is merged."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Model has `tie_word_embeddings=True`", UserWarning)
        warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated", FutureWarning)
        yield


def _sites(model: torch.nn.Module, before: dict[str, torch.nn.Module]) -> list[Site]:
    sites = []
    for path, module in model.named_modules():
        original = before.get(path)
        if original is not None and module is not original and isinstance(module, BaseTunerLayer):
            parent, _, child = path.rpartition(".")
            sites.append(Site(path, model.get_submodule(parent), child, original, module))
    return sites


def _in_files(path: str) -> str:
    """PEFT's files name weights as if its own two wrappers were around the model, and without the adapter's name."""
    return "base_model.model." + path.replace(f".{SLOT}.", ".").removesuffix(f".{SLOT}")


def device_of(module: torch.nn.Module) -> torch.device:
    """Where ``module`` computes; accelerate keeps what it offloads on "meta" and says in a hook where it goes."""
    hook = getattr(module, "_hf_hook", None)
    if hook is not None and getattr(hook, "execution_device", None) is not None:
        return torch.device(hook.execution_device)
    tensors = itertools.chain(module.parameters(), module.buffers())
    return next((tensor.device for tensor in tensors), torch.device("cpu"))
