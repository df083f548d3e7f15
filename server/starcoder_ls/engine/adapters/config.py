"""What an adapter's adapter_config.json may say.

Decides which methods and which of their keys are run: a key that would change the outcome and is not known here
refuses the adapter. Refuses to know weights and models, and to hand PEFT a regular expression from a file.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from starcoder_ls.engine.adapters.methods.bottleneck import CONFIG, KIND, NON_LINEARITIES
from starcoder_ls.engine.loading.checkpoint import json_object
from starcoder_ls.errors import AdapterInvalid, ModelInvalid

LAYERED = ("LORA", "IA3", KIND)
"""Methods that change layers; the rest put virtual tokens before the text."""

PROMPTS = ("P_TUNING", "PROMPT_TUNING", "PREFIX_TUNING")

_MODULE_NAME = re.compile(r"[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)*")

# They say where an adapter comes from or how it was trained; running it takes none of them.
_INFORMATIONAL = frozenset(
    {"peft_type", "auto_mapping", "base_model_name_or_path", "revision", "task_type", "inference_mode", "peft_version"}
    | {"lora_dropout", "init_ia3_weights", "adapter_dropout", "init_weights", "use_adapterp"}
    | {"encoder_reparameterization_type", "encoder_hidden_size", "encoder_num_layers", "encoder_dropout"}
    | {"prefix_projection", "prompt_tuning_init", "prompt_tuning_init_text", "tokenizer_name_or_path"}
    | {"tokenizer_kwargs"}
)


@dataclass(frozen=True, slots=True)
class Declared:
    """What passed: the method by PEFT's name, the keys that matter, and the base it says it was trained for."""

    kind: str
    keys: Mapping[str, Any]
    base: str

    @property
    def is_prompt(self) -> bool:
        return self.kind in PROMPTS

    def for_peft(self) -> Any:
        """The configuration that makes this method's layers; nothing of it is drawn at random or read from a file."""
        config_class = _classes()[self.kind]
        fixed = {"init_lora_weights": True} if self.kind == "LORA" else {}
        return config_class(**{**self.keys, **fixed, "inference_mode": True, "task_type": "CAUSAL_LM"})


def read(folder: Path) -> Declared:
    """Check ``folder``'s adapter_config.json. Raises AdapterInvalid naming file, key and value."""
    file = folder / CONFIG
    try:
        said = json_object(file)
    except ModelInvalid as error:
        raise AdapterInvalid(str(error).replace("the checkpoint", "the adapter")) from error
    kind = said.get("peft_type")
    if not isinstance(kind, str) or kind not in _KEYS:
        raise AdapterInvalid(f"{folder} is a {kind} adapter, which this server does not run. Use {', '.join(_KEYS)}.")
    if said.get("task_type") not in (None, "CAUSAL_LM"):
        raise AdapterInvalid(f"{folder} was trained for {said['task_type']}, not to continue text. Use another.")
    known = _KEYS[kind]
    defaults = _defaults(kind)
    for key, value in said.items():
        if (
            key in known
            or key in _INFORMATIONAL
            or value in (None, "", "none", [], {})
            or value is False
            or value == defaults.get(key)
        ):
            continue
        if key == "init_lora_weights" and (value is True or value == "gaussian"):
            continue
        raise AdapterInvalid(f"{file} sets `{key}` to {value!r:.60}, which this server does not run. Train without it.")
    keys: dict[str, Any] = {}
    for key, check in known.items():
        value = said.get(key, defaults.get(key))
        if (complaint := check(value)) is not None:
            raise AdapterInvalid(f"{file} sets `{key}` to {value!r:.60}, but it must be {complaint}. Correct it.")
        keys[key] = float(value) if key == "scaling" and isinstance(value, int) else value
    if not set(keys.get("feedforward_modules") or ()) <= set(keys.get("target_modules") or ()):
        raise AdapterInvalid(f"{file} has `feedforward_modules` that are not among `target_modules`. Correct it.")
    base = said.get("base_model_name_or_path")
    return Declared(kind, keys, base if isinstance(base, str) else "")


Check = Callable[[object], str | None]
"""What a value must be, or None where it is that."""


def _whole(low: int, high: int, is_optional: bool = False) -> Check:
    def check(value: object) -> str | None:
        is_right = isinstance(value, int) and not isinstance(value, bool) and low <= value <= high
        return None if is_right or (is_optional and value is None) else f"a whole number of {low} to {high:,}"

    return check


def _number(value: object) -> str | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return None if is_number and math.isfinite(value) and abs(value) <= 10_000 else "a number up to 10,000"  # type: ignore[arg-type]


def _scaling(value: object) -> str | None:
    return None if value == "learned" else _number(value)


def _flag(value: object) -> str | None:
    return None if isinstance(value, bool) else "true or false"


def _names(value: object) -> str | None:
    """A string would be a regular expression, and one from a file may run for years."""
    is_list = isinstance(value, list) and 1 <= len(value) <= 64
    if is_list and all(isinstance(name, str) and _MODULE_NAME.fullmatch(name) for name in value):  # type: ignore[attr-defined]
        return None
    return "a list of module names"


def _layers(value: object) -> str | None:
    if value is None or (isinstance(value, list) and all(isinstance(layer, int) for layer in value)):
        return None
    return "a list of layer numbers"


def _non_linearity(value: object) -> str | None:
    return None if value in NON_LINEARITIES else f"one of {', '.join(NON_LINEARITIES)}"


_SIZES = {key: _whole(1, 1 << 20, is_optional=True) for key in ("token_dim", "num_layers", "num_attention_heads")}
_PROMPT = {
    "num_virtual_tokens": _whole(1, 4096), "num_transformer_submodules": _whole(1, 1, is_optional=True), **_SIZES,
}  # fmt: skip
_KEYS: Mapping[str, Mapping[str, Check]] = {
    "LORA": {
        "r": _whole(1, 4096), "lora_alpha": _number, "use_rslora": _flag, "target_modules": _names,
        "layers_to_transform": _layers,
    },
    "IA3": {"target_modules": _names, "feedforward_modules": _names},
    KIND: {
        "bottleneck_size": _whole(1, 1 << 14), "non_linearity": _non_linearity, "scaling": _scaling,
        "use_parallel_adapter": _flag, "target_modules": _names,
    },
    "P_TUNING": _PROMPT,
    "PROMPT_TUNING": _PROMPT,
    "PREFIX_TUNING": _PROMPT,
}  # fmt: skip


def _classes() -> Mapping[str, Any]:
    from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING

    return {str(kind.value): config_class for kind, config_class in PEFT_TYPE_TO_CONFIG_MAPPING.items()}


def _defaults(kind: str) -> Mapping[str, Any]:
    values = {}
    for field in dataclasses.fields(_classes()[kind]):
        if field.default is not dataclasses.MISSING:
            values[field.name] = field.default
    return values
