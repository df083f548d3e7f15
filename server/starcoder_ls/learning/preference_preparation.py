"""What a run of ``train preferences`` will do: data, what it starts from, device, memory; before weights are loaded.

The files in which the gate measures contain no suggestion that is trained on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from starcoder_ls import settings
from starcoder_ls.engine.adapters import fit
from starcoder_ls.engine.adapters.resident_adapters import PreparedAdapter, prepare_adapter
from starcoder_ls.engine.loading.checkpoint import Checkpoint
from starcoder_ls.engine.loading.progress import ProgressCallback
from starcoder_ls.engine.loading.resolve import resolve_checkpoint
from starcoder_ls.errors import SettingsError
from starcoder_ls.feedback_store import schema
from starcoder_ls.feedback_store.path_hash import hash_path, key_file, read_key
from starcoder_ls.feedback_store.rows import read_rows
from starcoder_ls.learning.finetuning import resources, training_base
from starcoder_ls.learning.finetuning.layer_training import LORA_TARGETS
from starcoder_ls.learning.finetuning.lora_sum import read_lora
from starcoder_ls.learning.finetuning.repository_files import collect_files
from starcoder_ls.learning.finetuning.trainable import BaseIdentity
from starcoder_ls.learning.finetuning.training_base import TrainingDevice
from starcoder_ls.learning.finetuning.versions import AdapterVersions, Version
from starcoder_ls.learning.preference_data import PreferenceData, prepare_data, sequences_of
from starcoder_ls.learning.preference_ids import PreferenceTokenizer
from starcoder_ls.learning.preference_selection import Filters
from starcoder_ls.learning.preference_training import PreferenceConfig, rate_for
from starcoder_ls.settings import Model
from starcoder_ls.text_tokens.tokenizer import Tokenizer

NO_START = "none"
_COMPLETION_TOKENS = 128


@dataclass(frozen=True, slots=True)
class Options:
    """The options of ``train preferences``.

    ``config`` are keyword arguments of ``PreferenceConfig``; a learning rate of 0 is that of the base's width.
    ``start`` is a folder of a LoRA adapter, ``NO_START``, or "" for the version of this name that serves. ``length``
    limits a prompt with its completion, in tokens. The gate draws holes in ``paths``; empty: in the files that were
    held out from the version that the run starts from.
    """

    paths: Sequence[Path] = ()
    start: str = ""
    loss: str = "auto"
    length: int = 1024
    min_chars: int = 4
    min_margin: float = 0.15
    device: str = "auto"
    quantization: str = "none"
    config: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Plan:
    """A run that fits this machine; ``start`` is what it starts from, and ``start_version`` the version of that.

    The gate draws holes in ``held_out_files`` and cannot measure if there is none.
    """

    checkpoint: Checkpoint
    base: BaseIdentity
    device: TrainingDevice
    data: PreferenceData
    config: PreferenceConfig
    start: PreparedAdapter | None
    start_version: Version | None
    held_out_files: list[str]
    memory_bytes: int


def prepare(
    options: Options, config: settings.Settings, versions: AdapterVersions, on_progress: ProgressCallback
) -> Plan:
    """Raises SettingsError, ModelError, OutOfMemory, FeedbackStoreUnreadable."""
    config = config.model_copy(update={"model": _base_of(options, config.model, versions)})
    checkpoint = resolve_checkpoint(config.model, on_progress)
    base = training_base.identify(checkpoint, config.model.name)
    start, start_version = _find_start(options, versions, checkpoint, config, on_progress)
    prompts = config.inline_completion
    length = min(options.length, checkpoint.context_tokens)
    tokenizer = PreferenceTokenizer(
        Tokenizer.from_folder(checkpoint.folder, checkpoint.vocabulary_size),
        min(prompts.prompt_tokens, max(length - _COMPLETION_TOKENS, length // 2)),
        prompts.suffix_percent,
        min(_COMPLETION_TOKENS, length // 2),
    )
    data = prepare_data(read_rows(), tokenizer, options.loss, Filters(options.min_chars, options.min_margin))
    held_out_files = _held_out_files(options, config, data, start_version)
    device = training_base.choose_device(options.device, options.quantization, False, checkpoint)
    run_config = PreferenceConfig(**{"learning_rate": 0.0, **options.config})
    if not run_config.learning_rate:
        run_config = replace(run_config, learning_rate=rate_for(checkpoint.sizes.width))
    memory_bytes, is_checkpointed = _measure_memory(run_config, checkpoint, device, data)
    run_config = replace(run_config, is_checkpointed=is_checkpointed)
    return Plan(
        checkpoint, base, device, data, run_config, start, start_version, held_out_files, memory_bytes
    )  # fmt: skip


def _base_of(options: Options, model: Model, versions: AdapterVersions) -> Model:
    """The model of the settings; where that is the version that serves, merged, the base of this version."""
    current = versions.current()
    if options.start or current is None or model.name != str(versions.merged_link):
        return model
    return model.model_copy(update={"name": current.training["base"]})


def _find_start(
    options: Options,
    versions: AdapterVersions,
    checkpoint: Checkpoint,
    config: settings.Settings,
    on_progress: ProgressCallback,
) -> tuple[PreparedAdapter | None, Version | None]:
    """The adapter that the run starts from. Raises SettingsError, ModelError."""
    version = None if options.start else versions.current()
    if version is not None and version.training.get("is_checkpoint"):
        raise SettingsError(
            f"The version of {versions.name} that serves is a checkpoint, which is the model of your settings. Train "
            "preferences on it under another name."
        )
    folder = version.folder if version is not None else options.start
    if not folder or folder == NO_START:
        return None, None
    if options.quantization != "none":
        raise SettingsError(
            f"An adapter cannot be added to weights in {options.quantization}. Merge it with `starcoder-ls adapters "
            "merge` and give the result as `--model`, or start without it: `--start none`."
        )
    adapter = prepare_adapter(settings.Adapter(path=str(folder)), config.model.offline, on_progress)
    read_lora(adapter)
    fit.require_same_fingerprint(adapter.files, checkpoint, config.model.name)
    return adapter, version


def _held_out_files(
    options: Options, config: settings.Settings, data: PreferenceData, start: Version | None
) -> list[str]:
    """The files in which the gate draws holes: none that the preferences to train on are from."""
    if options.paths:
        trained = set(start.learned_files) if start else set[str]()
        found = [str(file.path) for file in collect_files(options.paths, config.context.ignore).files]
        files = [file for file in found if file not in trained]
    else:
        files = list(start.training["held_out_files"]) if start else []
    key = read_key(key_file(schema.store_file()))
    return [file for file in files if key is None or hash_path(file, key) not in data.training_groups]


def _measure_memory(
    config: PreferenceConfig, checkpoint: Checkpoint, device: TrainingDevice, data: PreferenceData
) -> tuple[int, bool]:
    """The peak of a step in bytes, and whether gradient checkpointing is needed. Raises OutOfMemory."""

    sizes = checkpoint.sizes
    rows = [sequence for example in data.training for sequence in sequences_of(example)]
    batch_rows = config.batch * len(rows) // len(data.training)
    bytes_per_value = resources.base_bytes_per_value(device.quantization, device.dtype == torch.float32)
    modules = len(LORA_TARGETS[checkpoint.architecture])
    trained = sizes.layers * modules * config.rank * (sizes.width + sizes.intermediate)  # an upper bound
    size = resources.TrainingSize(
        sizes,
        checkpoint.weights.values,
        trained,
        batch_rows * max(map(len, rows)),
        bytes_per_value,
        activation_bytes=device.dtype.itemsize,
    )
    is_checkpointed = resources.choose_checkpointing(size, device.free_bytes, device.name)
    return size.memory_bytes(is_checkpointed), is_checkpointed
