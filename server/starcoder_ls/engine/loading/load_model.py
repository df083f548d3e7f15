"""Finds the checkpoint that the settings name and reads its weights into a transformers model."""

from __future__ import annotations

import logging
import shutil
import tempfile
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers.utils import logging as transformers_logging

from starcoder_ls.engine.loading import hub, quantization, weight_check
from starcoder_ls.engine.loading.checkpoint import Checkpoint, read_checkpoint
from starcoder_ls.engine.loading.placement import Placement
from starcoder_ls.engine.loading.progress import ProgressCallback, report_weight_loading
from starcoder_ls.engine.memory import is_out_of_memory
from starcoder_ls.errors import ModelInvalid
from starcoder_ls.settings import BUNDLED, Model

_log = logging.getLogger(__name__)

# from_pretrained swaps functions of torch and of its own classes while it runs: two at once in one process leave them
# swapped, and every later load of the process lacks its tied weights.
_one_at_a_time = threading.Lock()


def find(wanted: Model, report: ProgressCallback) -> Checkpoint:
    """The checkpoint that ``wanted`` names, on this machine and checked."""
    if wanted.name == BUNDLED:
        return read_checkpoint(Path(__file__).parents[2] / BUNDLED)
    return hub.resolve(wanted.name, wanted.revision, hub.CHECKPOINT_FILES, wanted.offline, read_checkpoint, report)


def unquantized(checkpoint: Checkpoint, dtype: torch.dtype, report: ProgressCallback) -> Any:
    """The plain transformers model on the CPU, in ``dtype``, to be changed and saved."""
    return read_weights(checkpoint, Placement("cpu", dtype, None), report)


def read_weights(checkpoint: Checkpoint, placement: Placement, report: ProgressCallback) -> Any:
    """The transformers model with its weights where ``placement`` says.

    What it keeps on the disk is removed with it, or at exit. Raises ModelInvalid, and whatever ``report`` raises.
    """
    with _one_at_a_time:
        return _read_weights(checkpoint, placement, report)


def _read_weights(checkpoint: Checkpoint, placement: Placement, report: ProgressCallback) -> Any:
    offload = tempfile.mkdtemp(prefix="starcoder-ls-") if placement.max_memory else None
    try:
        model, outcome = _read(checkpoint, placement, offload, report)
        weight_check.require_matching_keys(outcome, checkpoint)
    except BaseException:
        shutil.rmtree(offload or "", ignore_errors=True)
        raise
    if offload is not None:
        weakref.finalize(model, shutil.rmtree, offload, ignore_errors=True)
    freeze(model)
    return model


def freeze(model: torch.nn.Module) -> None:
    """Prepare ``model`` for inference."""
    model.eval().requires_grad_(False)
    _drop_causal_mask(model)


def _read(
    checkpoint: Checkpoint, placement: Placement, offload: str | None, report: ProgressCallback
) -> tuple[Any, Any]:
    """The model with its weights where ``placement`` wants them, and what transformers says of the keys.

    transformers 5 builds the model without memory and reads each tensor straight to its device and type.
    """
    model_class = getattr(transformers, checkpoint.architecture)
    config = model_class.config_class.from_dict(dict(checkpoint.config))
    kind, more = placement.quantization, {}
    if kind != "none" and not placement.is_packed:
        more["quantization_config"] = quantization.config_for(kind, placement.device, placement.dtype)
    sentence = f"Loading {checkpoint.weights.bytes / 1e6:,.0f} MB of weights."
    report(0.0, sentence)
    try:
        with report_weight_loading(report, sentence), _quiet():
            model, outcome = model_class.from_pretrained(
                checkpoint.folder,
                config=config,
                dtype=placement.dtype,
                device_map="auto" if placement.max_memory else {"": placement.device},
                max_memory=placement.max_memory,
                offload_folder=offload,
                attn_implementation="sdpa",
                use_safetensors=True,
                local_files_only=True,
                output_loading_info=True,
                **more,
            )
    except (ValueError, RuntimeError, KeyError, TypeError, OSError) as error:
        if is_out_of_memory(error):
            raise
        _log.debug("loading %s failed", checkpoint.folder, exc_info=True)
        if more:
            raise quantization.refused(kind, checkpoint, error) from error
        reason = str(error).strip().partition("\n")[0].rstrip(".")
        raise ModelInvalid(f"{checkpoint.folder} cannot be loaded: {reason}. Download it again.") from error
    return model, outcome


def _drop_causal_mask(model: torch.nn.Module) -> None:
    """GPTBigCode's module still builds a mask of context² bytes (64 MB at 8,192) that its attention no longer reads."""
    mask = model.get_submodule("transformer").__dict__.get("_buffers", {}) if hasattr(model, "transformer") else {}
    if "bias" in mask and "bias" in model.get_submodule("transformer")._non_persistent_buffers_set:
        mask["bias"] = mask["bias"].new_empty(0)


@contextmanager
def _quiet() -> Iterator[None]:
    """transformers' own report on missing keys says in a table what we raise."""
    verbosity = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity(logging.CRITICAL)
    try:
        yield
    finally:
        transformers_logging.set_verbosity(verbosity)
