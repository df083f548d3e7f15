"""Reads and checks an adapter's adapter_config.json.

A key that would change the computation and is not one of the method's ``config_checks`` refuses the adapter; PEFT
never receives a regular expression from a file.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from starcoder_ls.engine.adapters.adapter_method import AdapterMethod
from starcoder_ls.engine.adapters.registry import METHODS
from starcoder_ls.errors import AdapterInvalid, ModelInvalid
from starcoder_ls.json_files import printable, read_json_object

CONFIG_FILE = "adapter_config.json"

# Where an adapter comes from and how it was trained; every method has these keys and inference ignores them.
_DESCRIPTIVE_KEYS = frozenset(
    {"peft_type", "auto_mapping", "base_model_name_or_path", "revision", "task_type", "inference_mode", "peft_version"}
)
_NEUTRAL_VALUES = ("", "none", "auto", "default", "disabled", "off", 0)

# Keys of any method that say how an adapter was made, not what it computes. PEFT: data-driven initialization leaves its
# settings, and the runtime's and Megatron's are about memory and parallel training; unsloth and others add their own.
_TRAINING_KEY = re.compile(
    r"(eva|runtime|corda|lora_ga)_config|(megatron|unsloth|training)_\w+|tags|qalora_group_size|ephemeral_gpu_offload"
    r"|ensure_weight_tying|\w*(dropout|version|seed|created|author|license|date)\w*"
)


@dataclass(frozen=True, slots=True)
class AdapterConfig:
    """A checked configuration. ``values`` has exactly the keys of ``method.config_checks``; ``base_name`` is the base
    that the file names, or ""."""

    method: AdapterMethod
    values: Mapping[str, Any]
    base_name: str


def read_config(folder: Path) -> AdapterConfig:
    """Read ``folder``'s adapter_config.json. Raises AdapterInvalid with file, key and value if it cannot be run."""
    file = folder / CONFIG_FILE
    try:
        config = read_json_object(file)
    except ModelInvalid as error:
        raise AdapterInvalid(str(error).replace("the checkpoint", "the adapter")) from error
    method = _find_method(folder, config)
    defaults = method.default_values()
    _require_supported_keys(file, config, method, defaults)
    values: dict[str, Any] = {}
    for key, check in method.config_checks.items():
        value = config.get(key, defaults.get(key))
        if not check.is_valid(value):
            raise AdapterInvalid(
                f"{file} sets `{key}` to {printable(repr(value))}, but it must be {check.requirement}."
            )
        values[key] = value
    if conflict := method.find_conflict(values):
        raise AdapterInvalid(f"{file} {conflict}. Correct it.")
    base_name = config.get("base_model_name_or_path")
    return AdapterConfig(method, method.normalize(values), base_name if isinstance(base_name, str) else "")


def _find_method(folder: Path, config: Mapping[str, Any]) -> AdapterMethod:
    """Raises AdapterInvalid if the method or the task is not supported."""
    peft_type = config.get("peft_type")
    if not isinstance(peft_type, str) or peft_type not in METHODS:
        raise AdapterInvalid(
            f"{folder} is a {printable(peft_type)} adapter, which this server does not support. "
            f"Use {', '.join(METHODS)}."
        )
    if config.get("task_type") not in (None, "CAUSAL_LM"):
        raise AdapterInvalid(
            f"{folder} was trained for the task {printable(config['task_type'])}. "
            "Use an adapter that was trained for CAUSAL_LM."
        )
    return METHODS[peft_type]


def _require_supported_keys(
    file: Path, config: Mapping[str, Any], method: AdapterMethod, defaults: Mapping[str, Any]
) -> None:
    """Raises AdapterInvalid for a key outside the method's that changes the computation, or may do so."""
    known_keys = method.config_checks.keys() | method.training_keys | _DESCRIPTIVE_KEYS
    for key, value in config.items():
        if key in known_keys or value == defaults.get(key) or method.is_inactive(key, value):
            continue
        if _is_neutral(value) or _TRAINING_KEY.fullmatch(key) or _is_option_of_unused_feature(key, config):
            continue
        raise AdapterInvalid(
            f"{file} sets `{printable(key)}` to {printable(repr(value))}, which this server does not support: it "
            "changes what the adapter computes, or may. Train the adapter without it."
        )


def _is_neutral(value: object) -> bool:
    """Whether ``value`` switches nothing on: null, false, zero, empty, a word for none; or consists of such values."""
    if isinstance(value, dict):
        return all(_is_neutral(item) for item in value.values())
    if isinstance(value, list):
        return all(_is_neutral(item) for item in value)
    return value is None or value is False or (isinstance(value, str | int | float) and value in _NEUTRAL_VALUES)


def _is_option_of_unused_feature(key: str, config: Mapping[str, Any]) -> bool:
    """Whether ``key`` is ``NAME_...`` and the config has ``use_NAME`` with a false value."""
    return any(
        use.startswith("use_") and not value and key.startswith(use.removeprefix("use_") + "_")
        for use, value in config.items()
    )
