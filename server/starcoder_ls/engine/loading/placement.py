"""Chooses the device, the type and the split over devices of a model's weights, and checks that there is memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import psutil
import torch

from starcoder_ls.engine.loading import quantization
from starcoder_ls.engine.loading.checkpoint import Checkpoint
from starcoder_ls.errors import OutOfMemory, SettingsError
from starcoder_ls.settings import Model

_PACKABLE_DTYPES = {"F16": torch.float16, "BF16": torch.bfloat16}
"""Types of checkpoint files that are packed as they are stored; others are read as float32."""

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}

SMALL_MODEL_VALUES = 30_000_000
"""Models with fewer values are float32 on a CPU if they are not packed.

Zen 5 with avx512_bf16, one thread, float32 against bfloat16: a decode step takes 3.2 and 3.8 ms at 6.5 million values,
6.3 and 7.7 at 16, 13 and 15 at 37, 57 and 35 at 164; prefill of 512 tokens 74 and 42 ms, 185 and 92, 481 and 217. A
small model decodes more than it prefills, since most of a prompt is in the cache, and its logits are more exact in
float32.
"""


@dataclass(frozen=True, slots=True)
class Placement:
    """``max_memory`` is None for one device without a limit, else bytes (or ``10GiB``) per device, as in accelerate.

    ``dtype`` is the type in which the weights are read; if ``is_packed``, they are then packed to 16 or 8 bits each.
    """

    device: str
    dtype: torch.dtype
    max_memory: dict[int | str, int | str] | None
    is_packed: bool = False
    quantization: str = "none"

    @property
    def dtype_name(self) -> str:
        """The type of the weights in memory, as the status shows it."""
        if self.quantization != "none":
            return self.quantization
        is_halved = self.is_packed and self.dtype == torch.float32
        return "float16" if is_halved else str(self.dtype).removeprefix("torch.")

    @property
    def is_batch_invariant(self) -> bool:
        """Whether the logits of a token do not depend on the other tokens of the pass."""
        return quantization.is_batch_invariant(self.quantization, self.device)


def choose_placement(settings: Model, checkpoint: Checkpoint, can_pack: Callable[[], bool]) -> Placement:
    """Where the weights of ``checkpoint`` go; ``can_pack`` says whether this processor has kernels for packed weights.

    Raises SettingsError if a device is missing or settings conflict, OutOfMemory if the weights do not fit.
    """
    device = _choose_device(settings.device)
    quantization.require_supported(settings, device, can_pack)
    if settings.quantization != "none":
        return _place_quantized(settings, checkpoint, device)
    max_memory = _memory_limits(settings.max_memory, device) if settings.max_memory else None
    is_packed = device == "cpu" and settings.dtype == "auto" and max_memory is None and can_pack()
    if is_packed:
        dtype = _packable_dtype(checkpoint)
    else:
        dtype = _DTYPES.get(settings.dtype) or _best_dtype(device, checkpoint.weights.values)
    if max_memory is None:
        _require_memory(device, checkpoint.weights.values * (2 if is_packed else dtype.itemsize))
    return Placement(device, dtype, max_memory, is_packed)


def _packable_dtype(checkpoint: Checkpoint) -> torch.dtype:
    return _PACKABLE_DTYPES.get(next(iter(checkpoint.weights.dtypes), ""), torch.float32)


def _place_quantized(settings: Model, checkpoint: Checkpoint, device: str) -> Placement:
    """On a CPU what is not quantized is float32 unless the user chooses a type: every adapter runs beside float32, and
    so does ``bigcode_cpu``. Raises OutOfMemory."""
    is_packed = quantization.uses_own_kernels(settings.quantization, device)
    dtype = _DTYPES.get(settings.dtype) or (torch.float32 if device == "cpu" else _best_dtype(device, 0))
    if is_packed:
        dtype = _packable_dtype(checkpoint)
    _require_memory(device, quantization.estimate_bytes(settings.quantization, checkpoint, dtype, device))
    return Placement(device, dtype, None, is_packed, settings.quantization)


def _choose_device(device: str) -> str:
    """The device of the setting; for "auto" CUDA, MPS or the CPU, in this order. Raises SettingsError."""
    is_available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if device == "auto":
        return next(name for name, is_present in is_available.items() if is_present)
    if not is_available[device]:
        raise SettingsError(
            f"`model.device` is {device}, but torch {torch.__version__} finds no such device here. "
            "Set it to auto, or install the torch build for your hardware."
        )
    return device


def _best_dtype(device: str, values: int) -> torch.dtype:
    if device == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float32
    if device == "cpu":
        has_bf16 = any(torch.cpu.get_capabilities().get(name) for name in ("avx512_bf16", "amx_bf16"))
        return torch.bfloat16 if has_bf16 and values >= SMALL_MODEL_VALUES else torch.float32
    return torch.float32


def _memory_limits(max_memory: dict[str, str], device: str) -> dict[int | str, int | str]:
    """The user's limits, with the free memory as the CPU's limit if the user gives none.

    Raises SettingsError for a device that is not present.
    """
    limits: dict[int | str, int | str] = {}
    for name, limit in max_memory.items():
        key: int | str = int(name) if name.isdecimal() else name
        is_known = key in ("cpu", "mps", "disk") or (isinstance(key, int) and key < torch.cuda.device_count())
        if not is_known:
            raise SettingsError(
                f"`model.max_memory` names the device {name!r}, which is not here. Use GPU numbers, mps, cpu or disk."
            )
        limits[key] = limit
    if device == "cpu":
        limits = {key: limit for key, limit in limits.items() if key in ("cpu", "disk")}
    limits.setdefault("cpu", psutil.virtual_memory().available)
    return limits


def _require_memory(device: str, needed_bytes: int) -> None:
    """Raise OutOfMemory if the weights do not fit, before the machine starts to swap or the device fails."""
    if device == "cuda":
        free_bytes = torch.cuda.mem_get_info()[0]
    else:
        free_bytes = psutil.virtual_memory().available
    if needed_bytes > free_bytes:
        raise OutOfMemory(
            f"The model's weights need {needed_bytes / 2**30:.1f} GiB and {device} has {free_bytes / 2**30:.1f} GiB "
            "free. Choose a smaller model, or spread it with `model.max_memory`."
        )
