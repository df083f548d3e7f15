"""Weights in fewer bits, by bitsandbytes or torchao, both optional, or by our own kernels.

Decides which does it on which devices, in which type the rest computes, and what memory it takes. Refuses to know
adapters; what goes with which is in adapters/fit.py.
"""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Callable
from typing import Any

import torch
import transformers
from torch import nn

from starcoder_ls.engine.loading.checkpoint import Checkpoint
from starcoder_ls.engine.memory import is_out_of_memory
from starcoder_ls.errors import ModelInvalid, SettingsError
from starcoder_ls.settings import Model

_log = logging.getLogger(__name__)

GROUP_VALUES = 64
"""Weights that share a scale in 4 bits: bitsandbytes' default, and a divisor of every StarCoder's widths."""

_ONE_DEVICE = (
    "`model.quantization` is {kind} and `model.max_memory` is set: quantized weights stay on one device. "
    "Unset one of them."
)

_LIBRARIES = {"int8": "bitsandbytes", "nf4": "bitsandbytes", "torchao-int8": "torchao", "torchao-int4": "torchao"}


def require(wanted: Model, device: str, can_pack: Callable[[], bool]) -> None:
    """Raise SettingsError, before anything is read, where ``wanted`` cannot be quantized as it says on ``device``.

    ``can_pack`` says whether this processor has kernels for packed weights.
    """
    kind = wanted.quantization
    if kind == "none":
        return
    if is_own(kind, device):
        _require_own(wanted, can_pack)
        return
    library = _LIBRARIES[kind]
    if importlib.util.find_spec(library) is None:
        raise SettingsError(
            f"`model.quantization` is {kind}, which needs {library}, and that is not installed. "
            "Run `pip install 'starcoder-ls[quantization]'`, or set it to none."
        )
    if device == "mps":
        raise SettingsError(f"`model.quantization` is {kind}, which does not run on mps. Set it to none, or use cuda.")
    if wanted.max_memory:
        raise SettingsError(_ONE_DEVICE.format(kind=kind))
    if kind == "torchao-int4" and device == "cuda" and wanted.dtype not in ("auto", "bfloat16"):
        raise SettingsError(
            f"`model.quantization` is torchao-int4 and `model.dtype` is {wanted.dtype}: its CUDA kernels compute in "
            "bfloat16 alone. Set `model.dtype` to auto, or use nf4."
        )


def is_own(kind: str, device: str) -> bool:
    """Whether ``packed`` does it. bitsandbytes' 8 bits on a CPU were 3.6 times slower than our 16."""
    return kind == "int8" and device == "cpu"


def _require_own(wanted: Model, can_pack: Callable[[], bool]) -> None:
    if wanted.max_memory:
        raise SettingsError(_ONE_DEVICE.format(kind=wanted.quantization))
    if wanted.dtype not in ("auto", "float32"):
        raise SettingsError(
            f"`model.quantization` is int8 and `model.dtype` is {wanted.dtype}: on a CPU it computes in float32 alone. "
            "Set `model.dtype` to auto."
        )
    if not can_pack():
        raise SettingsError(
            "`model.quantization` is int8, for which there are no kernels on this processor (the log says why). "
            "Set it to torchao-int8, or to none."
        )


def config_for(kind: str, device: str, dtype: torch.dtype) -> Any:
    """What ``from_pretrained`` takes; each tensor is quantized as it comes, so that never all are there as they were.

    The vocabulary stays as it is, and so do norms and biases.
    """
    make: Any = transformers.BitsAndBytesConfig
    if kind == "int8":
        return make(load_in_8bit=True)
    if kind == "nf4":
        return make(
            load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype=dtype
        )
    if kind == "torchao-int8":
        from torchao.quantization import Int8WeightOnlyConfig

        return transformers.TorchAoConfig(Int8WeightOnlyConfig(set_inductor_config=False))
    return transformers.TorchAoConfig(_int4(device))


def _int4(device: str) -> Any:
    """torchao 0.18 has no stable 4-bit weights for a CPU, and on CUDA one layout that needs no further library."""
    if device == "cuda":
        from torchao.quantization import Int4WeightOnlyConfig

        return Int4WeightOnlyConfig(
            group_size=GROUP_VALUES, set_inductor_config=False, int4_packing_format="tile_packed_to_4d"
        )
    from torchao.prototype.quantization.int4 import PrototypeInt4WeightOnlyConfig

    return PrototypeInt4WeightOnlyConfig(group_size=GROUP_VALUES, set_inductor_config=False)


def keeps_rows_apart(kind: str, device: str) -> bool:
    """Whether a token's logits are the same whatever is read with it, so that a draft cannot change an answer.

    bitsandbytes' 8-bit product takes columns that hold an outlier out for all tokens of a pass: 2e-2 of the logits.
    """
    return kind != "int8" or is_own(kind, device)


def bits_per_weight(kind: str, dtype: torch.dtype) -> float:
    """With the scales, but for those of whole rows (32 bits in thousands of weights).

    nf4 has a byte per group, and four for each 256 of those bytes; torchao's int4 a scale and a zero point per group.
    """
    if kind == "nf4":
        return 4 + (8 + 32 / 256) / GROUP_VALUES
    if kind == "torchao-int4":
        return 4 + 2 * 8 * dtype.itemsize / GROUP_VALUES
    return 8.0


def estimated_bytes(kind: str, checkpoint: Checkpoint, dtype: torch.dtype, device: str) -> int:
    """Of the weights, before they are read: all but the vocabulary's in fewer bits.

    On a CPU, int8 holds the vocabulary twice: in 8 bits to multiply by, and in ``dtype`` to be looked up.
    """
    width = checkpoint.config.get("n_embd") or checkpoint.config.get("hidden_size")
    positions = checkpoint.config.get("n_positions") or 0
    wide = min(checkpoint.weights.values, (checkpoint.vocabulary_size + positions) * int(width or 0))
    if is_own(kind, device):
        return wide * dtype.itemsize + int(checkpoint.weights.values * (8 + 32 / GROUP_VALUES) / 8)
    return wide * dtype.itemsize + int((checkpoint.weights.values - wide) * bits_per_weight(kind, dtype) / 8)


def bytes_of(tensor: torch.Tensor) -> int:
    """Of a weight with its scales. torchao's tensors say of themselves what they would take unquantized."""
    state = getattr(tensor, "quant_state", None)
    if state is not None:  # bitsandbytes, 4 bits
        scales = [state.absmax, state.code, *((state.state2.absmax, state.state2.code) if state.nested else ())]
        return int(tensor.nbytes) + sum(int(scale.nbytes) for scale in scales)
    scale = getattr(tensor, "SCB", None)
    if scale is not None:  # bitsandbytes, 8 bits
        return tensor.nbytes + int(scale.nbytes)
    if hasattr(tensor, "__tensor_flatten__"):
        names = tensor.__tensor_flatten__()[0]
        return sum(int(getattr(tensor, name).nbytes) for name in names)
    return int(tensor.nbytes)


def is_plain(weight: torch.Tensor) -> bool:
    """Whether its numbers are those of the checkpoint."""
    return weight.is_floating_point() and type(weight) in (torch.Tensor, nn.Parameter)


def require_answer(model: nn.Module, read: Callable[[], torch.Tensor], kind: str, checkpoint: Checkpoint) -> None:
    """Raise ModelInvalid unless ``model`` is quantized and ``read`` makes logits of some text with it.

    Weights in few bits cannot be looked at one by one; and libraries have shapes that their kernels lack, which
    bitsandbytes says at the first pass, and torchao never: it leaves the weights as they were.
    """
    if sum(not is_plain(weight) for weight in model.parameters()) < 2:
        raise refused(kind, checkpoint, ValueError(f"no width here is a multiple of {GROUP_VALUES}"))
    try:
        is_finite = bool(torch.isfinite(read()).all())
    except (AssertionError, RuntimeError, ValueError, TypeError) as error:
        if is_out_of_memory(error):
            raise
        _log.debug("%s does not run as %s", checkpoint.folder, kind, exc_info=True)
        raise refused(kind, checkpoint, error) from error
    if not is_finite:
        raise ModelInvalid(
            f"{checkpoint.folder} gives no finite numbers once it is quantized to {kind}: its weights are damaged, or "
            "too large. Set `model.quantization` to none, or download it again."
        )


def refused(kind: str, checkpoint: Checkpoint, error: Exception) -> ModelInvalid:
    """The library's own reason, and the way out."""
    reason = str(error).strip().partition("\n")[0].rstrip(".") or type(error).__name__
    return ModelInvalid(
        f"{checkpoint.folder} cannot be quantized to {kind} here: {_LIBRARIES[kind]} says {reason!r:.200}. "
        "Set `model.quantization` to another kind, or to none."
    )
