"""Reads and checks the files of a checkpoint folder before any weight is loaded.

Sizes and token ids come from the files, never from the model's name. No code of the checkpoint is run, and torch is
not imported.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from starcoder_ls.engine.loading import checkpoint_sizes
from starcoder_ls.engine.loading.checkpoint_sizes import ModelSizes
from starcoder_ls.engine.loading.safetensors_files import WeightFiles, find_weights
from starcoder_ls.errors import ModelInvalid, ModelNotFound, ModelUnsupported
from starcoder_ls.json_files import printable, read_json_object

# StarCoder and SantaCoder's port, StarCoder2, Code Llama and DeepSeek-Coder, Qwen2.5-Coder.
ARCHITECTURES = frozenset(checkpoint_sizes.MODEL_TYPES.values())

# Keys of config.json through which a checkpoint could choose the code, kernels or files that are loaded, and those of
# transformers for other tasks, of which some allocate memory or change what a forward pass returns.
_IGNORED_KEYS = frozenset(
    {"auto_map", "attn_implementation", "experts_implementation", "transformers_weights", "fusion_config"}
    | {"num_labels", "id2label", "label2id", "problem_type", "pruned_heads", "task_specific_params", "torchscript"}
    | {"output_attentions", "output_hidden_states", "return_dict", "is_encoder_decoder", "is_decoder"}
    | {"add_cross_attention", "chunk_size_feed_forward", "use_cache"}
)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A checked folder. ``config`` is config.json without the keys that a checkpoint must not set.

    ``changes`` says, for the user, which files were replaced since the last load.
    """

    folder: Path
    architecture: str
    config: Mapping[str, Any]
    context_tokens: int
    vocabulary_size: int
    end_ids: frozenset[int]
    weights: WeightFiles
    sizes: ModelSizes
    changes: str = ""


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
    _require_unquantized(folder, config)
    if (folder / "adapter_config.json").exists():
        # transformers would load that adapter by itself, unchecked, with whatever base it names.
        raise ModelInvalid(f"{folder} contains an adapter beside its weights. {_adapter_hint(folder)}")
    if not (folder / "tokenizer.json").is_file():
        raise ModelInvalid(f"{folder} has no tokenizer.json. Copy it from the checkpoint the model was made from.")
    named = _read_architecture(folder, config)
    weights = find_weights(folder)
    architecture = named or checkpoint_sizes.find_architecture(config, weights)
    if architecture is None:
        raise _unsupported(folder, "of an unknown kind: its config names none, and its tensors do not tell")
    sizes = checkpoint_sizes.read_sizes(folder, architecture, config, weights)
    usable_keys = {key: value for key, value in config.items() if not _is_ignored(key)}
    return Checkpoint(
        folder=folder,
        architecture=architecture,
        config=usable_keys | {"vocab_size": sizes.vocabulary},
        context_tokens=sizes.context_tokens,
        vocabulary_size=sizes.vocabulary,
        end_ids=_read_end_ids(folder, config, sizes.vocabulary),
        weights=weights,
        sizes=sizes,
    )


def _read_architecture(folder: Path, config: Mapping[str, Any]) -> str | None:
    """The architecture that the config names; None if it names none. Raises ModelUnsupported for another one."""
    names = config.get("architectures")
    if names in (None, []):
        return None
    name = names[0] if isinstance(names, list) and len(names) == 1 else None
    if not isinstance(name, str) or name not in ARCHITECTURES:
        raise _unsupported(folder, printable(name or names))
    return name


def _require_unquantized(folder: Path, config: Mapping[str, Any]) -> None:
    """Raises ModelUnsupported."""
    if config.get("quantization_config"):
        raise ModelUnsupported(
            f"{folder} is quantized, and this server reads unquantized weights only. Choose the original weights."
        )


def _unsupported(folder: Path, architecture: str) -> ModelUnsupported:
    return ModelUnsupported(
        f"{folder} has the architecture {architecture}, which this server does not support. "
        f"Choose a checkpoint with one of {', '.join(sorted(ARCHITECTURES))}."
    )


def _read_end_ids(folder: Path, config: Mapping[str, Any], vocabulary_size: int) -> frozenset[int]:
    """The ids that end a text: those of config.json and of generation_config.json, which may name more.

    Raises ModelInvalid if an id is not in the vocabulary.
    """
    values: list[Any] = [config.get("eos_token_id")]
    generation_config = folder / "generation_config.json"
    if generation_config.is_file():
        values.append(read_json_object(generation_config).get("eos_token_id"))
    ids: list[Any] = []
    for value in values:
        ids += value if isinstance(value, list) else [] if value is None else [value]
    if not all(type(id_) is int and 0 <= id_ < vocabulary_size for id_ in ids):
        raise ModelInvalid(f"{folder} names end tokens {ids!r:.60} outside its vocabulary. Correct its config.")
    return frozenset(ids)


def _is_ignored(key: str) -> bool:
    return key.startswith("_") or key in _IGNORED_KEYS


def _adapter_hint(folder: Path) -> str:
    """What to do if ``folder`` is not a checkpoint: an adapter is configured elsewhere."""
    if (folder / "adapter_config.json").exists():
        return "Name its base model in `model.name` and the adapter, in a folder of its own, under `[adapters.NAME]`."
    return "Correct `model.name`."
