"""Reads and checks the files of a checkpoint folder before any weight is loaded.

Sizes and token ids come from the files, never from the model's name. No code of the checkpoint is run, and torch is
not imported.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from starcoder_ls.engine.loading.safetensors_files import WeightFiles, find_weights
from starcoder_ls.errors import ModelInvalid, ModelNotFound, ModelUnsupported

# StarCoder and SantaCoder's port, StarCoder2, Code Llama and DeepSeek-Coder, Qwen2.5-Coder.
ARCHITECTURES = frozenset({"GPTBigCodeForCausalLM", "Starcoder2ForCausalLM", "LlamaForCausalLM", "Qwen2ForCausalLM"})

# Keys of config.json through which a checkpoint could choose the code, kernels or files that are loaded.
_IGNORED_KEYS = frozenset(
    {"auto_map", "attn_implementation", "experts_implementation", "transformers_weights", "fusion_config"}
)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A checked folder. ``config`` is config.json without the keys that a checkpoint must not set."""

    folder: Path
    architecture: str
    config: Mapping[str, Any]
    context_tokens: int
    vocabulary_size: int
    end_ids: frozenset[int]
    weights: WeightFiles


def read_checkpoint(folder: Path) -> Checkpoint:
    """Read the configuration and the headers of the weights.

    Raises ModelNotFound if there is no folder, ModelUnsupported for an architecture or quantization that is not
    supported, ModelInvalid if a file is missing or damaged.
    """
    if not folder.is_dir():
        raise ModelNotFound(f"There is no folder {folder}. Correct `model.name`, or give a Hub id such as owner/name.")
    if not (folder / "config.json").is_file():
        raise ModelInvalid(f"{folder} has no config.json, so it is not a checkpoint. {_adapter_hint(folder)}")
    config = read_json_object(folder / "config.json")
    architecture = _read_architecture(folder, config)
    if (folder / "adapter_config.json").exists():
        # transformers would load that adapter by itself, unchecked, with whatever base it names.
        raise ModelInvalid(f"{folder} contains an adapter beside its weights. {_adapter_hint(folder)}")
    if not (folder / "tokenizer.json").is_file():
        raise ModelInvalid(f"{folder} has no tokenizer.json. Copy it from the checkpoint the model was made from.")
    vocabulary_size = _read_size(folder, config, "vocab_size")
    return Checkpoint(
        folder=folder,
        architecture=architecture,
        config={key: value for key, value in config.items() if not _is_ignored(key)},
        context_tokens=_read_size(folder, config, "n_positions", "max_position_embeddings"),
        vocabulary_size=vocabulary_size,
        end_ids=_read_end_ids(folder, config, vocabulary_size),
        weights=find_weights(folder),
    )


def read_json_object(file: Path) -> dict[str, Any]:
    """The object in a JSON file of a checkpoint. Raises ModelInvalid if it cannot be read or is not an object."""
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelInvalid(f"{file} is not readable JSON ({error}). Download the checkpoint again.") from error
    if not isinstance(value, dict):
        raise ModelInvalid(f"{file} does not contain a JSON object. Download the checkpoint again.")
    return value


def _read_architecture(folder: Path, config: Mapping[str, Any]) -> str:
    """Raises ModelUnsupported."""
    names = config.get("architectures")
    name = names[0] if isinstance(names, list) and len(names) == 1 else None
    if name not in ARCHITECTURES:
        raise ModelUnsupported(
            f"{folder} has the architecture {name or names}, which this server does not support. "
            f"Choose a checkpoint with one of {', '.join(sorted(ARCHITECTURES))}."
        )
    if config.get("quantization_config"):
        raise ModelUnsupported(
            f"{folder} is quantized, and this server reads unquantized weights only. Choose the original weights."
        )
    return str(name)


def _read_size(folder: Path, config: Mapping[str, Any], *keys: str) -> int:
    """The first positive integer among ``keys``. Raises ModelInvalid if there is none."""
    for key in keys:
        value = config.get(key)
        if isinstance(value, int) and value > 0:
            return int(value)
    raise ModelInvalid(f"{folder / 'config.json'} lacks `{keys[0]}`. Download the checkpoint again.")


def _read_end_ids(folder: Path, config: Mapping[str, Any], vocabulary_size: int) -> frozenset[int]:
    """The ids that end a text: those of config.json and of generation_config.json, which may name more.

    Raises ModelInvalid if an id is not in the vocabulary.
    """
    values: list[Any] = [config.get("eos_token_id")]
    generation_config = folder / "generation_config.json"
    if generation_config.is_file():
        values.append(read_json_object(generation_config).get("eos_token_id"))
    ids: set[int] = set()
    for value in values:
        ids.update(value if isinstance(value, list) else [] if value is None else [value])
    if not all(isinstance(id_, int) and 0 <= id_ < vocabulary_size for id_ in ids):
        raise ModelInvalid(
            f"{folder} names end tokens {sorted(map(str, ids))} outside its vocabulary. Correct its config."
        )
    return frozenset(ids)


def _is_ignored(key: str) -> bool:
    return key.startswith("_") or key in _IGNORED_KEYS


def _adapter_hint(folder: Path) -> str:
    """What to do if ``folder`` is not a checkpoint: an adapter is configured elsewhere."""
    if (folder / "adapter_config.json").exists():
        return "Name its base model in `model.name` and the adapter, in a folder of its own, under `[adapters.NAME]`."
    return "Correct `model.name`."
