"""Merges adapters into a base and writes a checkpoint that needs none of them.

Only methods that become part of the weights exactly are merged. Merging runs on the CPU in float32, and the result has
the same files as the base.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch
from transformers.utils import logging as transformers_logging

from starcoder_ls.engine.adapters.resident_adapters import ResidentAdapters, prepare_adapter
from starcoder_ls.engine.loading import integrity
from starcoder_ls.engine.loading.load_model import load_unquantized
from starcoder_ls.engine.loading.progress import ProgressCallback, scale_progress
from starcoder_ls.engine.loading.resolve import resolve_checkpoint
from starcoder_ls.errors import AdapterInvalid, SettingsError
from starcoder_ls.settings import Adapter, Model

COPIED_FILES = tuple(dict.fromkeys((
    "config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json",
    "ngram_strengths.json", *integrity.TEMPLATE_FILES,
)))  # fmt: skip


def merge(model: Model, adapters: Sequence[Adapter], out: Path, on_progress: ProgressCallback) -> None:
    """Merge ``adapters`` into the base ``model`` in this order, and write the checkpoint folder ``out``.

    Weights are summed in float32 and rounded once at the end, to the type of the base's files. Raises AdapterInvalid
    for a method that cannot be merged exactly, SettingsError if ``out`` is not empty or cannot be written or if
    ``model`` asks for quantization, ModelError, OutOfMemory.
    """
    if model.quantization != "none":
        raise SettingsError(
            f"Adapters cannot be merged into weights quantized to {model.quantization}: rounding would lose them. "
            "Set `model.quantization` to none, merge, and quantize the result."
        )
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise SettingsError(f"{out} exists and is not an empty folder. Name a new folder.")
    prepared = [prepare_adapter(adapter, model.offline, scale_progress(on_progress, 0.0, 0.1)) for adapter in adapters]
    for adapter in prepared:
        method = adapter.files.config.method
        if method.merge_obstacle is not None:
            raise AdapterInvalid(
                f"{adapter.source} is a {method.peft_type} adapter and cannot be merged: {method.merge_obstacle}. "
                "Keep it as an adapter."
            )
    checkpoint = resolve_checkpoint(model, scale_progress(on_progress, 0.1, 0.2))
    merged = load_unquantized(checkpoint, torch.float32, scale_progress(on_progress, 0.2, 0.8))
    resident = ResidentAdapters(merged, checkpoint, model.name)
    for number, adapter in enumerate(prepared):
        on_progress(0.8 + 0.1 * number / len(prepared), f"Merging {adapter.source}.")
        added = resident.add(str(number), adapter, is_base_changed=number > 0)
        added.method.merge(added.targets)
        resident.remove(added.name)
    dtype = {"F16": torch.float16, "BF16": torch.bfloat16}.get(min(checkpoint.weights.dtypes), torch.float32)
    on_progress(0.9, f"Writing {out}.")
    try:
        _write_checkpoint(merged.to(dtype), checkpoint.folder, out)
    except OSError as error:
        raise SettingsError(f"{out} cannot be written: {error.strerror or error}. Name another folder.") from error


def _write_checkpoint(model: torch.nn.Module, base: Path, out: Path) -> None:
    """Write to a temporary folder and rename it, so that ``out`` is complete if it exists. Raises OSError."""
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}-") as partial:
        transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
        try:
            model.save_pretrained(partial)  # type: ignore[operator]
        finally:
            transformers_logging.enable_progress_bar()  # type: ignore[no-untyped-call]
        for name in COPIED_FILES:
            if (base / name).is_file():
                shutil.copy(base / name, partial)
        integrity.write_checkpoint_manifest(Path(partial))
        os.chmod(partial, 0o755)
        for file in Path(partial).iterdir():
            file.chmod(0o644)
        out.mkdir(exist_ok=True)
        os.replace(partial, out)
        Path(partial).mkdir()  # TemporaryDirectory removes it
