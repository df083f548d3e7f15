"""Chooses the device, the type and the split over devices of a model's weights, and checks that there is memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import psutil
import torch

from starcoder_ls.engine.loading import quantization
from starcoder_ls.engine.loading.checkpoint import Checkpoint
from starcoder_ls.errors import OutOfMemory, SettingsError
from starcoder_ls.settings import Model

_PACKABLE_DTYPES = {"F16": torch.float16, "BF16": torch.bfloat16}
"""Types of checkpoint files that are packed as they are stored; others are read as float32."""

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}

X86_BFLOAT16 = ("avx512_bf16", "amx_bf16")
"""Names in ``torch.cpu.get_capabilities`` of the instructions that multiply bfloat16."""

SMALL_MODEL_VALUES = 30_000_000
"""Models with fewer values are float32 on a CPU if they are not packed.

Zen 5 with avx512_bf16, one thread, float32 against bfloat16: a decode step takes 3.2 and 3.8 ms at 6.5 million values,
6.3 and 7.7 at 16, 13 and 15 at 37, 57 and 35 at 164; prefill of 512 tokens 74 and 42 ms, 185 and 92, 481 and 217. A
small model decodes more than it prefills, since most of a prompt is in the cache, and its logits are more exact in
float32.

``auto`` puts such models on the CPU: in 16 bits they take 60 MB, and one step on a CPU takes about as long as the
launches of a step on a GPU.
"""

WORKSPACE_BYTES = 256 << 20
"""Of a GPU's libraries: cuBLAS takes 32 MB for each stream on Hopper, and torch allocates in blocks of 20 MB."""

CHUNK_TOKENS, MAX_LOGIT_ROWS = 2048, 128
"""Tokens of the longest forward pass; rows of logits that CUDA graphs have room for, 16 of 8 tokens each."""


@dataclass(frozen=True, slots=True)
class Placement:
    """``max_memory`` is None for one device without a limit, else bytes (or ``10GiB``) per device, as in accelerate.

    ``dtype`` is the type in which the weights are read; if ``is_packed``, they are then packed to 16 or 8 bits each.
    ``fallback_dtype`` is the type to read them in if logits in ``dtype`` are not finite; None if that is an error.
    """

    device: str
    dtype: torch.dtype
    max_memory: dict[int | str, int | str] | None
    is_packed: bool = False
    quantization: str = "none"
    fallback_dtype: torch.dtype | None = None

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
    device = _choose_device(settings, checkpoint.weights.values)
    quantization.require_supported(settings, device, can_pack)
    if settings.quantization != "none":
        return _place_quantized(settings, checkpoint, device)
    max_memory = _memory_limits(settings.max_memory, device) if settings.max_memory else None
    is_packed = device == "cpu" and settings.dtype == "auto" and max_memory is None and can_pack()
    if is_packed:
        dtype = _packable_dtype(checkpoint)
    else:
        dtype = _DTYPES.get(settings.dtype) or _best_dtype(device, checkpoint.weights.values)
    return _require_room(
        Placement(device, dtype, max_memory, is_packed, "none", _fallback(settings, device, dtype)), checkpoint
    )


def use_fallback_dtype(placement: Placement, checkpoint: Checkpoint) -> Placement:
    """``placement`` with its ``fallback_dtype``. Raises OutOfMemory if the weights do not fit in it."""
    assert placement.fallback_dtype is not None
    return _require_room(replace(placement, dtype=placement.fallback_dtype, fallback_dtype=None), checkpoint)


def _fallback(settings: Model, device: str, dtype: torch.dtype) -> torch.dtype | None:
    """Float16 is ours to choose only if the weights compute finite numbers in it: most were trained in bfloat16."""
    is_chosen = settings.dtype == "auto" and device != "cpu"
    return torch.float32 if is_chosen and dtype == torch.float16 else None


def working_bytes(device: str, checkpoint: Checkpoint, dtype: torch.dtype) -> int:
    """Memory of a GPU beside the weights: the KV cache of one context, logits, a chunk's activations, and workspace.

    0 on a CPU, where caches grow as they are used. At 7B in bfloat16 it is 0.7 GB.
    """
    if device == "cpu":
        return 0
    sizes = checkpoint.sizes
    tokens = min(CHUNK_TOKENS, sizes.context_tokens)
    cache = 2 * sizes.layers * sizes.key_value_heads * sizes.head_width * sizes.context_tokens * dtype.itemsize
    logits = MAX_LOGIT_ROWS * sizes.vocabulary * 4
    activations = tokens * (4 * sizes.width + 2 * sizes.intermediate) * dtype.itemsize
    return cache + logits + activations + WORKSPACE_BYTES


def _packable_dtype(checkpoint: Checkpoint) -> torch.dtype:
    return _PACKABLE_DTYPES.get(next(iter(checkpoint.weights.dtypes), ""), torch.float32)


def _place_quantized(settings: Model, checkpoint: Checkpoint, device: str) -> Placement:
    """On a CPU what is not quantized is float32 unless the user chooses a type: every adapter runs beside float32, and
    so does ``bigcode_cpu``. Raises OutOfMemory."""
    is_packed = quantization.uses_own_kernels(settings.quantization, device)
    dtype = _DTYPES.get(settings.dtype) or (torch.float32 if device == "cpu" else _best_dtype(device, 0))
    if is_packed:
        dtype = _packable_dtype(checkpoint)
    fallback_dtype = None if is_packed else _fallback(settings, device, dtype)
    return _require_room(Placement(device, dtype, None, is_packed, settings.quantization, fallback_dtype), checkpoint)


def _choose_device(settings: Model, values: int) -> str:
    """The device of the setting. For "auto" it is CUDA, MPS or the CPU, in this order, and the CPU for a small model.

    Raises SettingsError.
    """
    device = settings.device
    is_available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if device == "auto":
        is_small = values < SMALL_MODEL_VALUES and not settings.max_memory
        return "cpu" if is_small else next(name for name, is_present in is_available.items() if is_present)
    if not is_available[device]:
        raise SettingsError(
            f"`model.device` is {device}, but torch {torch.__version__} finds no such device here. "
            "Set it to auto, or install the torch build for your hardware."
        )
    return device


def _best_dtype(device: str, values: int) -> torch.dtype:
    """16 bits on a GPU: bfloat16 where it has it, else float16, whose range must be checked with the weights."""
    if device == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    if device == "mps":
        return torch.bfloat16 if torch.backends.mps.is_macos_or_newer(14, 0) else torch.float16
    has_bf16 = any(torch.cpu.get_capabilities().get(name) for name in X86_BFLOAT16)
    return torch.bfloat16 if has_bf16 and values >= SMALL_MODEL_VALUES else torch.float32


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


def _require_room(placement: Placement, checkpoint: Checkpoint) -> Placement:
    """Return ``placement``. Raises OutOfMemory if the weights do not fit with what computing needs, before the machine
    starts to swap or the device fails."""
    if placement.max_memory is not None:
        return placement
    device, dtype = placement.device, placement.dtype
    if placement.quantization != "none":
        weight_bytes = quantization.estimate_bytes(placement.quantization, checkpoint, dtype, device)
    else:
        weight_bytes = checkpoint.weights.values * (2 if placement.is_packed else dtype.itemsize)
    other_bytes = working_bytes(device, checkpoint, dtype)
    free_bytes = torch.cuda.mem_get_info()[0] if device == "cuda" else psutil.virtual_memory().available
    if weight_bytes + other_bytes <= free_bytes:
        return placement
    needs = f"need {weight_bytes / 2**30:.1f} GiB"
    if other_bytes:
        needs += f", their cache and workspace {other_bytes / 2**30:.1f} GiB,"
    is_quantizable = device == "cuda" and placement.quantization == "none"
    advice = f", set `model.quantization` to {quantization.RECOMMENDED}," if is_quantizable else ","
    raise OutOfMemory(
        f"The model's weights {needs} and {device} has {free_bytes / 2**30:.1f} GiB free. "
        f"Choose a smaller model{advice} or spread it with `model.max_memory`."
    )
