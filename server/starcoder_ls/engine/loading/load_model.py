"""Loads the weights of a checked checkpoint into a transformers model."""

from __future__ import annotations

import logging
import shutil
import tempfile
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import transformers
from transformers.utils import logging as transformers_logging

from starcoder_ls.engine.loading import quantization, weight_check
from starcoder_ls.engine.loading.checkpoint import Checkpoint
from starcoder_ls.engine.loading.placement import Placement
from starcoder_ls.engine.loading.progress import ProgressCallback, report_weight_loading
from starcoder_ls.engine.memory import is_out_of_memory
from starcoder_ls.errors import ModelInvalid

_log = logging.getLogger(__name__)

# While it runs, from_pretrained replaces functions of torch and of its own classes. Two concurrent calls leave the
# replacements in place, and all later models of the process lack their tied weights.
_from_pretrained_lock = threading.Lock()


def load_unquantized(checkpoint: Checkpoint, dtype: torch.dtype, on_progress: ProgressCallback) -> Any:
    """The transformers model on the CPU in ``dtype``, for tools that change its weights and save it.

    Raises ModelInvalid, and what ``on_progress`` raises.
    """
    return load_weights(checkpoint, Placement("cpu", dtype, None), on_progress)


def load_weights(checkpoint: Checkpoint, placement: Placement, on_progress: ProgressCallback) -> Any:
    """The transformers model, with its weights where ``placement`` says.

    Files of weights that are offloaded to the disk are deleted with the model, or at exit. Raises ModelInvalid if the
    weights do not match the config or cannot be read, and what ``on_progress`` raises.
    """
    with _from_pretrained_lock:
        return _load_weights(checkpoint, placement, on_progress)


def _load_weights(checkpoint: Checkpoint, placement: Placement, on_progress: ProgressCallback) -> Any:
    offload_folder = tempfile.mkdtemp(prefix="starcoder-ls-") if placement.max_memory else None
    try:
        model, loading_info = _from_pretrained(checkpoint, placement, offload_folder, on_progress)
        weight_check.require_matching_keys(loading_info, checkpoint)
    except BaseException:
        shutil.rmtree(offload_folder or "", ignore_errors=True)
        raise
    if offload_folder is not None:
        weakref.finalize(model, shutil.rmtree, offload_folder, ignore_errors=True)
    freeze(model)
    return model


def freeze(model: torch.nn.Module) -> None:
    """Prepare ``model`` for inference."""
    model.eval().requires_grad_(False)
    _drop_causal_mask(model)


def _from_pretrained(
    checkpoint: Checkpoint, placement: Placement, offload_folder: str | None, on_progress: ProgressCallback
) -> tuple[Any, Any]:
    """The model, and transformers' ``loading_info`` with the keys that do not match. Raises ModelInvalid.

    transformers 5 builds the model on the meta device and reads each tensor directly to its device and type.
    """
    model_class = getattr(transformers, checkpoint.architecture)
    config = _build_config(model_class, checkpoint)
    kind = placement.quantization
    options: dict[str, Any] = {}
    if kind != "none" and not placement.is_packed:
        options["quantization_config"] = quantization.create_config(kind, placement.dtype)
    message = f"Loading {checkpoint.weights.bytes / 1e6:,.0f} MB of weights."
    on_progress(0.0, message)
    try:
        with report_weight_loading(on_progress, message), _suppress_transformers_log():
            model, loading_info = model_class.from_pretrained(
                checkpoint.folder,
                config=config,
                dtype=placement.dtype,
                device_map="auto" if placement.max_memory else {"": placement.device},
                max_memory=placement.max_memory,
                offload_folder=offload_folder,
                attn_implementation="sdpa",
                use_safetensors=True,
                local_files_only=True,
                output_loading_info=True,
                **options,
            )
    except (ValueError, RuntimeError, KeyError, TypeError, OSError, ArithmeticError, AttributeError) as error:
        if is_out_of_memory(error):
            raise
        _log.debug("loading %s failed", checkpoint.folder, exc_info=True)
        if options:
            raise quantization.unsupported_error(kind, checkpoint, error) from error
        reason = str(error).strip().partition("\n")[0].rstrip(".")
        raise ModelInvalid(f"{checkpoint.folder} cannot be loaded: {reason}. Download it again.") from error
    return model, loading_info


def _build_config(model_class: Any, checkpoint: Checkpoint) -> Any:
    """The configuration of transformers. Raises ModelInvalid if a value has the wrong type."""
    try:
        return model_class.config_class.from_dict(dict(checkpoint.config))
    except Exception as error:  # the classes that its validation raises change between versions
        reason = " ".join(str(error).split()).rstrip(".")
        raise ModelInvalid(
            f"{checkpoint.folder / 'config.json'} is not a valid configuration: {reason:.200}. Download it again."
        ) from error


def _drop_causal_mask(model: torch.nn.Module) -> None:
    """Free the causal mask of GPTBigCode: context² bytes (64 MB at 8,192) that its attention no longer reads."""
    mask = model.get_submodule("transformer").__dict__.get("_buffers", {}) if hasattr(model, "transformer") else {}
    if "bias" in mask and "bias" in model.get_submodule("transformer")._non_persistent_buffers_set:
        mask["bias"] = mask["bias"].new_empty(0)


@contextmanager
def _suppress_transformers_log() -> Iterator[None]:
    """transformers logs a table of keys that do not match; ``weight_check`` raises for them instead."""
    verbosity = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity(logging.CRITICAL)
    try:
        yield
    finally:
        transformers_logging.set_verbosity(verbosity)
