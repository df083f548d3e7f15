"""One PEFT adapter on its base.

Decides which adapters are safe and fit, before and after PEFT reads them. Refuses to know how they were trained.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

from starcoder_ls.engine.checkpoint import Checkpoint, json_object
from starcoder_ls.engine.memory import is_out_of_memory
from starcoder_ls.engine.safetensors_files import PICKLED, header
from starcoder_ls.errors import AdapterInvalid, ModelInvalid

CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"

# The others put virtual tokens before the prompt, which slots do not count, or load further files that their config
# names.
_KINDS = ("LORA", "IA3")


def inspect(folder: Path) -> dict[str, Any]:
    """The adapter's config. Raises AdapterInvalid; reads headers, not weights."""
    if not folder.is_dir():
        raise AdapterInvalid(f"There is no adapter folder {folder}. Correct `model.adapter`, or give a Hub id.")
    if not (folder / CONFIG).is_file():
        raise AdapterInvalid(f"{folder} has no {CONFIG}, so it is no PEFT adapter. Correct `model.adapter`.")
    if not (folder / WEIGHTS).is_file():
        pickled = sorted(path.name for pattern in PICKLED for path in folder.glob(pattern))
        found = f"; {pickled[0]} can run code when read" if pickled else ""
        raise AdapterInvalid(f"{folder} has no {WEIGHTS}{found}. Save the adapter with PEFT's safe_serialization.")
    try:
        config = json_object(folder / CONFIG)
        header(folder / WEIGHTS)
    except ModelInvalid as error:
        raise AdapterInvalid(str(error)) from error
    kind = config.get("peft_type")
    if kind not in _KINDS:
        raise AdapterInvalid(
            f"{folder} is a {kind} adapter, which this server does not run. Use {' or '.join(_KINDS)}."
        )
    return config


def attach(model: Any, folder: Path, config: dict[str, Any], checkpoint: Checkpoint) -> Any:
    """``model`` with the adapter's layers in it. Raises AdapterInvalid where they do not fit each other exactly."""
    from peft import PeftModel, get_peft_model_state_dict

    base = config.get("base_model_name_or_path") or "an unnamed base"
    misfit = f"The adapter {folder}, trained for {base}, does not fit {checkpoint.folder.name}"
    try:
        with warnings.catch_warnings():
            # PEFT only warns; the comparison below is an error.
            warnings.filterwarnings("ignore", message=r"(?s).*[Ff]ound missing adapter keys")
            # PEFT 0.21 asks transformers 5.23 by a name that transformers has since changed.
            warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated", FutureWarning)
            adapted = PeftModel.from_pretrained(model, str(folder), is_trainable=False)
    except (ValueError, RuntimeError, KeyError, TypeError, OSError) as error:
        if is_out_of_memory(error):
            raise
        raise AdapterInvalid(f"{misfit}: {_first_line(error)}. Use the adapter with its own base.") from error
    expected, found = set(get_peft_model_state_dict(adapted)), set(header(folder / WEIGHTS))
    if expected != found:
        example = min(expected ^ found)
        raise AdapterInvalid(
            f"{misfit}: {len(expected - found)} tensors are missing and {len(found - expected)} are too many, such as "
            f"{example}. Use the adapter with its own base, or download it again."
        )
    return adapted.eval().get_base_model()


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0].rstrip(".")
