"""Loads a base for training: its device, type and quantization, and what is needed to save memory.

The weights of a frozen base are in 16 bits, except those of small models on a CPU; nf4 needs CUDA.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psutil
import torch

from starcoder_ls.engine.adapters.fingerprint import compute_fingerprint
from starcoder_ls.engine.loading import load_model, quantization
from starcoder_ls.engine.loading.checkpoint import Checkpoint
from starcoder_ls.engine.loading.placement import SMALL_MODEL_VALUES, Placement
from starcoder_ls.engine.loading.progress import ProgressCallback
from starcoder_ls.errors import SettingsError
from starcoder_ls.learning import precision
from starcoder_ls.learning.finetuning.trainable import BaseIdentity
from starcoder_ls.settings import BUNDLED, Model

_DROPOUTS = ("attn_dropout", "attention_dropout", "residual_dropout", "resid_pdrop")
_FILE_TYPES = {"F16": torch.float16, "BF16": torch.bfloat16}


@dataclass(frozen=True, slots=True)
class TrainingDevice:
    """Where a base is trained and in which type its frozen weights are; ``dtype`` is not that of the activations."""

    name: str
    dtype: torch.dtype
    quantization: str = "none"

    @property
    def free_bytes(self) -> int:
        """Memory that is free now."""
        if self.name == "cuda":
            return int(torch.cuda.mem_get_info()[0])
        return int(psutil.virtual_memory().available)


def choose_device(device: str, quantized: str, is_full: bool, checkpoint: Checkpoint) -> TrainingDevice:
    """The device of ``--device`` and the type of the weights there. Raises SettingsError if it is not possible."""
    is_available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if device == "auto":
        device = "cuda" if is_available["cuda"] else "cpu"
    if not is_available.get(device):
        raise SettingsError(
            f"--device {device}: torch {torch.__version__} finds no such device here. Use auto, cuda, mps or cpu."
        )
    if quantized not in ("none", "nf4"):
        raise SettingsError(f"--quantization {quantized}: a base can be trained on in nf4 or none.")
    if quantized == "nf4":
        if device != "cuda":
            raise SettingsError(
                f"--quantization nf4 trains on CUDA only, and the device is {device}. Leave it out, or use a GPU."
            )
        if is_full:
            raise SettingsError("--method full changes the base's weights, which nf4 rounds. Use --method lora.")
        quantization.require_supported(Model(quantization="nf4", device="cuda"), device, lambda: False)
    is_small = device == "cpu" and checkpoint.weights.values < SMALL_MODEL_VALUES
    dtype = torch.float32 if is_full or is_small or device == "mps" else precision.product_dtype(device)
    return TrainingDevice(device, dtype, quantized)


def load_base(checkpoint: Checkpoint, device: TrainingDevice, on_progress: ProgressCallback) -> Any:
    """The transformers model, frozen. Raises ModelError, OutOfMemory, and what ``on_progress`` raises."""
    placement = Placement(device.name, device.dtype, None, quantization=device.quantization)
    return load_model.load_weights(checkpoint, placement, on_progress)


def use_gradient_checkpointing(model: Any) -> None:
    """Compute activations again in the backward pass. transformers does so in training mode only, so dropout, which
    the base then would apply, is switched off."""
    switch_dropout_off(model)
    model.train()
    enable = getattr(model, "activation_checkpointing_enable", None)  # transformers 5.23; its older name warns there
    (enable or model.gradient_checkpointing_enable)({"use_reentrant": False})


def switch_dropout_off(model: Any) -> None:
    """Let the base compute the same in training mode."""
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
        for name in _DROPOUTS:
            if isinstance(getattr(module, name, None), float):
                setattr(module, name, 0.0)


def identify(checkpoint: Checkpoint, name: str) -> BaseIdentity:
    """The identity that is saved with what is trained; of a folder the absolute path."""
    is_folder = name != BUNDLED and Path(name).expanduser().is_dir()
    return BaseIdentity(str(Path(name).expanduser().resolve()) if is_folder else name, compute_fingerprint(checkpoint))


def file_type(checkpoint: Checkpoint) -> torch.dtype:
    """The type of the checkpoint's files, for a checkpoint that is written."""
    return _FILE_TYPES.get(min(checkpoint.weights.dtypes), torch.float32)


def with_dtype(device: TrainingDevice, dtype: str) -> TrainingDevice:
    """``device`` with the type of a `--dtype` option; "auto" changes nothing. Raises SettingsError."""
    known = {"float32": torch.float32, "bfloat16": torch.bfloat16}
    if dtype != "auto" and dtype not in known:
        raise SettingsError(f"--dtype {dtype}: weights are trained on in float32 or bfloat16.")
    return device if dtype == "auto" else replace(device, dtype=known[dtype])
