"""All uses of PEFT beyond its public API; pyproject.toml pins PEFT's version for this module.

Gives a method of ours a name in PEFT, and removes the layers that PEFT put into a model without leaving a trace.
PEFT imports every model of transformers and every library of quantization that is installed, which takes seconds; so
the engine imports this module inside functions, when the first adapter with PEFT's layers is read.
"""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from peft import PeftType, inject_adapter_in_model
from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING
from peft.tuners.tuners_utils import BaseTunerLayer
from peft.utils import register_peft_method

from starcoder_ls.engine.adapters.target_module import ADAPTER_NAME, TargetModule, has_8_bit_layers, remove_layers


def find_config_class(peft_type: str) -> Any:
    """PEFT's configuration class of a method. Raises ValueError if PEFT has no method of this name."""
    return PEFT_TYPE_TO_CONFIG_MAPPING[PeftType(peft_type)]


def default_values(peft_type: str) -> Mapping[str, Any]:
    """The defaults of that class; keys with a default factory are left out. Raises ValueError likewise."""
    return {
        field.name: field.default
        for field in dataclasses.fields(find_config_class(peft_type))
        if field.default is not dataclasses.MISSING
    }


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


@contextmanager
def suppress_warnings() -> Iterator[None]:
    """PEFT 0.21 uses a name that transformers 5.23 has deprecated, and warns of tied weights even if nothing is
    merged."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Model has `tie_word_embeddings=True`", UserWarning)
        warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated", FutureWarning)
        yield


def _find_targets(model: torch.nn.Module, before: dict[str, torch.nn.Module]) -> list[TargetModule]:
    """The modules of ``before`` in whose place an adapter layer is now."""
    targets = []
    for path, module in model.named_modules():
        base_layer = before.get(path)
        if base_layer is not None and module is not base_layer and isinstance(module, BaseTunerLayer):
            parent, _, name = path.rpartition(".")
            targets.append(TargetModule(path, model.get_submodule(parent), name, base_layer, module))
    return targets
