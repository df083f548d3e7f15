"""A base and some of its adapters to a checkpoint that needs none of them.

Decides which methods become part of the weights exactly, and that the result is as complete as the base. Refuses to
know engines and devices: it is done on the CPU, in float32.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch
from transformers.utils import logging as transformers_logging

from starcoder_ls.engine.adapters.resident_adapters import ResidentAdapters, prepare
from starcoder_ls.engine.loading.load_model import find, unquantized
from starcoder_ls.engine.loading.progress import Report, share
from starcoder_ls.errors import AdapterInvalid, SettingsError
from starcoder_ls.settings import Adapter, Model

_EXACT = ("LORA", "IA3")


def merge(wanted: Model, adapters: Sequence[Adapter], out: Path, report: Report) -> None:
    """Write the checkpoint folder ``out``: the weights with each adapter in turn, in the base's own type.

    Weights are summed in float32 and rounded once at the end. Raises AdapterInvalid for what cannot be exact,
    SettingsError for an ``out`` that holds something or a base that is to be quantized, ModelError, OutOfMemory.
    """
    if wanted.quantization != "none":
        raise SettingsError(
            f"Nothing is merged into weights quantized to {wanted.quantization}: it would be rounded away. "
            "Set `model.quantization` to none, merge, and quantize the result."
        )
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise SettingsError(f"{out} is there already and is not empty. Name a new folder.")
    prepared = [prepare(adapter, wanted.offline, share(report, 0.0, 0.1)) for adapter in adapters]
    for one in prepared:
        kind = one.files.declared.kind
        if kind not in _EXACT:
            why = "it puts virtual tokens before the text" if one.files.declared.is_prompt else "it is not linear"
            raise AdapterInvalid(
                f"{one.source} is a {kind} adapter and cannot be merged: {why}. Keep it as an adapter."
            )
    checkpoint = find(wanted, share(report, 0.1, 0.2))
    model = unquantized(checkpoint, torch.float32, share(report, 0.2, 0.8))
    attached = ResidentAdapters(model, checkpoint, wanted.name)
    for number, one in enumerate(prepared):
        report(0.8 + 0.1 * number / len(prepared), f"Merging {one.source}.")
        held = attached.add(str(number), one, is_base_changed=number > 0)
        with torch.inference_mode():
            for site in held.sites:
                site.adapted.merge()  # type: ignore[operator]
        attached.remove(held.name)
    stored = {"F16": torch.float16, "BF16": torch.bfloat16}.get(min(checkpoint.weights.dtypes), torch.float32)
    report(0.9, f"Writing {out}.")
    try:
        _written(model.to(stored), checkpoint.folder, out)
    except OSError as error:
        raise SettingsError(f"{out} cannot be written: {error.strerror or error}. Name another folder.") from error


def _written(model: torch.nn.Module, base: Path, out: Path) -> None:
    """All of it or nothing: a folder that is there is whole."""
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}-") as unfinished:
        transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
        try:
            model.save_pretrained(unfinished)  # type: ignore[operator]
        finally:
            transformers_logging.enable_progress_bar()  # type: ignore[no-untyped-call]
        for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "ngram_strengths.json"):
            if (base / name).is_file():
                shutil.copy(base / name, unfinished)
        shutil.copy(base / "config.json", unfinished)
        if (base / "generation_config.json").is_file():
            shutil.copy(base / "generation_config.json", unfinished)
        os.chmod(unfinished, 0o755)
        for file in Path(unfinished).iterdir():
            file.chmod(0o644)
        out.mkdir(exist_ok=True)
        os.replace(unfinished, out)
        Path(unfinished).mkdir()  # for the context to remove
