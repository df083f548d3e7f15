"""What a checkpoint folder says of itself, checked before anything of it is loaded.

Decides which architectures run and which files must be there; sizes and ids come from the files, never from a name.
Refuses to know torch and to run any code of the checkpoint.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from starcoder_ls.engine.loading.safetensors_files import Weights, weights_in
from starcoder_ls.errors import ModelInvalid, ModelNotFound, ModelUnsupported

# StarCoder and SantaCoder's port, StarCoder2, Code Llama and DeepSeek-Coder, Qwen2.5-Coder.
ARCHITECTURES = frozenset({"GPTBigCodeForCausalLM", "Starcoder2ForCausalLM", "LlamaForCausalLM", "Qwen2ForCausalLM"})

# Keys of config.json by which a checkpoint could choose code, kernels or files for us.
_NOT_FOR_A_CHECKPOINT_TO_SAY = frozenset(
    {"auto_map", "attn_implementation", "experts_implementation", "transformers_weights", "fusion_config"}
)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A folder that passed. ``config`` is config.json less what a checkpoint has no business choosing."""

    folder: Path
    architecture: str
    config: Mapping[str, Any]
    context_tokens: int
    vocabulary_size: int
    end_ids: frozenset[int]
    weights: Weights


def inspect(folder: Path) -> Checkpoint:
    """Check ``folder``. Raises ModelNotFound, ModelUnsupported or ModelInvalid; reads headers, not weights."""
    if not folder.is_dir():
        raise ModelNotFound(f"There is no folder {folder}. Correct `model.name`, or give a Hub id such as owner/name.")
    if not (folder / "config.json").is_file():
        raise ModelInvalid(f"{folder} has no config.json, so it is no checkpoint. {_adapter_hint(folder)}")
    config = json_object(folder / "config.json")
    architecture = _architecture(folder, config)
    if (folder / "adapter_config.json").exists():
        # transformers would load that adapter by itself, unchecked, from whatever base it names.
        raise ModelInvalid(f"{folder} holds an adapter beside its weights. {_adapter_hint(folder)}")
    if not (folder / "tokenizer.json").is_file():
        raise ModelInvalid(f"{folder} has no tokenizer.json. Copy it from the checkpoint the model was made from.")
    vocabulary_size = _size(folder, config, "vocab_size")
    return Checkpoint(
        folder=folder,
        architecture=architecture,
        config={key: value for key, value in config.items() if not _is_refused(key)},
        context_tokens=_size(folder, config, "n_positions", "max_position_embeddings"),
        vocabulary_size=vocabulary_size,
        end_ids=_end_ids(folder, config, vocabulary_size),
        weights=weights_in(folder),
    )


def json_object(file: Path) -> dict[str, Any]:
    """The object in a JSON file of a checkpoint. Raises ModelInvalid."""
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelInvalid(f"{file} is not readable JSON ({error}). Download the checkpoint again.") from error
    if not isinstance(value, dict):
        raise ModelInvalid(f"{file} holds no JSON object. Download the checkpoint again.")
    return value


def _architecture(folder: Path, config: Mapping[str, Any]) -> str:
    named = config.get("architectures")
    name = named[0] if isinstance(named, list) and len(named) == 1 else None
    if name not in ARCHITECTURES:
        raise ModelUnsupported(
            f"{folder} is a {name or 'model of no one architecture'}, which this server does not run. "
            f"Choose a checkpoint that is one of {', '.join(sorted(ARCHITECTURES))}."
        )
    if config.get("quantization_config"):
        raise ModelUnsupported(f"{folder} is quantized, which this server does not read. Choose the original weights.")
    return str(name)


def _size(folder: Path, config: Mapping[str, Any], *keys: str) -> int:
    found = [config[key] for key in keys if isinstance(config.get(key), int) and config[key] > 0]
    if not found:
        raise ModelInvalid(f"{folder / 'config.json'} lacks `{keys[0]}`. Download the checkpoint again.")
    return int(found[0])


def _end_ids(folder: Path, config: Mapping[str, Any], vocabulary_size: int) -> frozenset[int]:
    """The checkpoint's end-of-text ids. generation_config.json may name more of them than config.json does."""
    declared: list[Any] = [config.get("eos_token_id")]
    generation = folder / "generation_config.json"
    if generation.is_file():
        declared.append(json_object(generation).get("eos_token_id"))
    ids: set[int] = set()
    for value in declared:
        ids.update(value if isinstance(value, list) else [] if value is None else [value])
    if not all(isinstance(id_, int) and 0 <= id_ < vocabulary_size for id_ in ids):
        raise ModelInvalid(
            f"{folder} names end tokens {sorted(map(str, ids))} outside its vocabulary. Correct its config."
        )
    return frozenset(ids)


def _is_refused(key: str) -> bool:
    return key.startswith("_") or key in _NOT_FOR_A_CHECKPOINT_TO_SAY


def _adapter_hint(folder: Path) -> str:
    if (folder / "adapter_config.json").exists():
        return "Name its base model in `model.name` and the adapter, in a folder of its own, under `[adapters.NAME]`."
    return "Correct `model.name`."
