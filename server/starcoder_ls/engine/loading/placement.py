"""Where the weights live and in which type.

Decides device, dtype and the split over several devices, and whether there is room at all. Refuses to know files.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import psutil
import torch

from starcoder_ls.engine.loading import quantization
from starcoder_ls.engine.loading.checkpoint import Checkpoint
from starcoder_ls.errors import OutOfMemory, SettingsError
from starcoder_ls.settings import Model

_STORED = {"F16": torch.float16, "BF16": torch.bfloat16}
"""Types by which most of a checkpoint is packed without a conversion before; of all others as float32."""

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}

# Where nothing is packed. Zen 5 with avx512_bf16, one thread, float32 against bfloat16: a step takes 3.2 and 3.8 ms at
# 6.5 million values, 6.3 and 7.7 at 16, 13 and 15 at 37, 57 and 35 at 164; reading 512 tokens 74 and 42 ms, 185 and 92,
# 481 and 217. A small model decodes more than it reads, since most of a prompt is in the cache, and is nearer to the
# exact logits so.
SMALL_MODEL_VALUES = 30_000_000


@dataclass(frozen=True, slots=True)
class Placement:
    """``max_memory`` is None for one device without a cap, else bytes (or ``10GiB``) per device, accelerate's way.

    ``dtype`` is that of the weights as they are read; where ``is_packed`` they are then kept in 16 or 8 bits each.
    """

    device: str
    dtype: torch.dtype
    max_memory: dict[int | str, int | str] | None
    is_packed: bool = False
    quantization: str = "none"

    @property
    def said(self) -> str:
        """The type of the weights, for the user."""
        if self.quantization != "none":
            return self.quantization
        is_halved = self.is_packed and self.dtype == torch.float32
        return "float16" if is_halved else str(self.dtype).removeprefix("torch.")

    @property
    def keeps_rows_apart(self) -> bool:
        """Whether a token's logits are the same whatever is read with it."""
        return quantization.keeps_rows_apart(self.quantization, self.device)


def place(wanted: Model, checkpoint: Checkpoint, can_pack: Callable[[], bool]) -> Placement:
    """Where the weights of ``checkpoint`` go; ``can_pack`` says whether this processor has kernels for packed weights.

    Raises SettingsError for what is not there or does not go together, OutOfMemory where the weights cannot fit.
    """
    device = _device(wanted.device)
    quantization.require(wanted, device, can_pack)
    if wanted.quantization != "none":
        return _quantized(wanted, checkpoint, device)
    max_memory = _caps(wanted.max_memory, device) if wanted.max_memory else None
    is_packed = device == "cpu" and wanted.dtype == "auto" and max_memory is None and can_pack()
    if is_packed:
        dtype = _stored(checkpoint)
    else:
        dtype = _DTYPES.get(wanted.dtype) or _best_dtype(device, checkpoint.weights.values)
    if max_memory is None:
        _check_room(device, checkpoint.weights.values * (2 if is_packed else dtype.itemsize))
    return Placement(device, dtype, max_memory, is_packed)


def _stored(checkpoint: Checkpoint) -> torch.dtype:
    return _STORED.get(next(iter(checkpoint.weights.dtypes), ""), torch.float32)


def _quantized(wanted: Model, checkpoint: Checkpoint, device: str) -> Placement:
    """On a CPU the rest is float32 unless the user says otherwise: every adapter runs beside it, and so does `lean`."""
    is_packed = quantization.is_own(wanted.quantization, device)
    dtype = _DTYPES.get(wanted.dtype) or (torch.float32 if device == "cpu" else _best_dtype(device, 0))
    if is_packed:
        dtype = _stored(checkpoint)
    _check_room(device, quantization.estimated_bytes(wanted.quantization, checkpoint, dtype, device))
    return Placement(device, dtype, None, is_packed, wanted.quantization)


def _device(wanted: str) -> str:
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if wanted == "auto":
        return next(name for name, is_there in available.items() if is_there)
    if not available[wanted]:
        raise SettingsError(
            f"`model.device` is {wanted}, but torch {torch.__version__} finds no such device here. "
            "Set it to auto, or install the torch build for your hardware."
        )
    return wanted


def _best_dtype(device: str, values: int) -> torch.dtype:
    if device == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float32
    if device == "cpu":
        computes_in_bf16 = any(torch.cpu.get_capabilities().get(name) for name in ("avx512_bf16", "amx_bf16"))
        return torch.bfloat16 if computes_in_bf16 and values >= SMALL_MODEL_VALUES else torch.float32
    return torch.float32


def _caps(wanted: dict[str, str], device: str) -> dict[int | str, int | str]:
    """The user's caps, and for what comes after them whatever is free: the CPU, then the disk."""
    caps: dict[int | str, int | str] = {}
    for name, cap in wanted.items():
        key: int | str = int(name) if name.isdecimal() else name
        is_known = key in ("cpu", "mps", "disk") or (isinstance(key, int) and key < torch.cuda.device_count())
        if not is_known:
            raise SettingsError(
                f"`model.max_memory` names the device {name!r}, which is not here. Use GPU numbers, mps, cpu or disk."
            )
        caps[key] = cap
    if device == "cpu":
        caps = {key: cap for key, cap in caps.items() if key in ("cpu", "disk")}
    caps.setdefault("cpu", psutil.virtual_memory().available)
    return caps


def _check_room(device: str, needed_bytes: int) -> None:
    """Raise OutOfMemory before the machine starts to swap, or the device gives up half-way."""
    if device == "cuda":
        free_bytes = torch.cuda.mem_get_info()[0]
    else:
        free_bytes = psutil.virtual_memory().available
    if needed_bytes > free_bytes:
        raise OutOfMemory(
            f"The model's weights need {needed_bytes / 2**30:.1f} GiB and {device} has {free_bytes / 2**30:.1f} GiB "
            "free. Choose a smaller model, or spread it with `model.max_memory`."
        )
