"""Quantized weights: by bitsandbytes or torchao, both optional, or by the kernels of this package.

Decides which of them quantizes on which device and computes the memory that it takes. Which adapters run on which
quantization is part of each adapter method.
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

GROUP_SIZE = 64
"""Weights that share a scale in 4 bits: bitsandbytes' default, and a divisor of the widths of all StarCoders."""

RECOMMENDED = "torchao-int4"
"""On CUDA: its product, tinygemm, is part of torch, reads a quarter of the bytes, and can be captured in a graph."""

OWN_BITS = {"int8": 8, "torchao-int4": 4}
"""The quantizations that this package computes itself on a CPU, in the same number of bits as their library."""

_SLOW_ON_CUDA = {
    "int8": "it asks the device for outliers in every layer, so that no pass can be captured as a CUDA graph",
    "torchao-int8": "every pass converts all weights to 16 bits first",
}

_ONE_DEVICE = (
    "`model.quantization` is {quantization} and `model.max_memory` is set, but quantized weights cannot be split over "
    "devices. Unset one of them."
)

_LIBRARIES = {"int8": "bitsandbytes", "nf4": "bitsandbytes", "torchao-int8": "torchao", "torchao-int4": "torchao"}


def require_supported(settings: Model, device: str, can_pack: Callable[[], bool]) -> None:
    """Raise SettingsError if the quantization of ``settings`` is not possible on ``device``; reads no files.

    ``can_pack`` says whether this processor has kernels for packed weights.
    """
    quantization = settings.quantization
    if quantization == "none":
        return
    if uses_own_kernels(quantization, device):
        _require_own_kernels(settings, can_pack)
        return
    library = _LIBRARIES[quantization]
    if importlib.util.find_spec(library) is None:
        raise SettingsError(
            f"`model.quantization` is {quantization}, which needs {library}, and that is not installed. "
            "Run `pip install 'starcoder-ls[quantization]'`, or set it to none."
        )
    if device == "mps":
        raise SettingsError(
            f"`model.quantization` is {quantization}, which does not run on mps. Set it to none, or use cuda."
        )
    if settings.max_memory:
        raise SettingsError(_ONE_DEVICE.format(quantization=quantization))
    if quantization == "torchao-int4" and device == "cuda" and settings.dtype not in ("auto", "bfloat16"):
        raise SettingsError(
            f"`model.quantization` is torchao-int4 and `model.dtype` is {settings.dtype}, but its CUDA kernels compute "
            "in bfloat16 only. Set `model.dtype` to auto, or use nf4."
        )
    if quantization == "torchao-int4" and device == "cuda" and not torch.cuda.is_bf16_supported(False):
        raise SettingsError(
            "`model.quantization` is torchao-int4, whose CUDA kernels need bfloat16, and this GPU has none. Set it to "
            "nf4, or to none."
        )


def describe_drawback(quantization: str, device: str) -> str:
    """Sentences for the user about a quantization that does not make the model faster on ``device``; "" for others."""
    if device != "cuda" or quantization not in _SLOW_ON_CUDA:
        return ""
    return (
        f"`model.quantization` is {quantization}, which saves memory on cuda and no time: "
        f"{_SLOW_ON_CUDA[quantization]}. Set it to {RECOMMENDED}."
    )


def describe_loss(quantization: str, lost_nats: float) -> str:
    """A sentence for the user about a model that has 8 bits because it loses too much in fewer."""
    return (
        f"`model.quantization` is {quantization}, but this model would lose {lost_nats:.2f} nats a token in 4 bits, so "
        "it has 8."
    )


def uses_own_kernels(quantization: str, device: str) -> bool:
    """Whether the kernels of this package are used: int8 of bitsandbytes on a CPU was 3.6 times slower than our
    16 bits, torchao-int4 20 times."""
    return quantization in OWN_BITS and device == "cpu"


def _require_own_kernels(settings: Model, can_pack: Callable[[], bool]) -> None:
    """Raises SettingsError."""
    if settings.max_memory:
        raise SettingsError(_ONE_DEVICE.format(quantization=settings.quantization))
    if settings.dtype not in ("auto", "float32"):
        raise SettingsError(
            f"`model.quantization` is {settings.quantization} and `model.dtype` is {settings.dtype}, but on a CPU it "
            "computes in float32 only. Set `model.dtype` to auto."
        )
    if not can_pack():
        raise SettingsError(
            f"`model.quantization` is {settings.quantization}, for which there are no kernels on this processor (the "
            "log has the reason). Set it to torchao-int8, or to none."
        )


def create_config(quantization: str, dtype: torch.dtype) -> Any:
    """The ``quantization_config`` of transformers' ``from_pretrained``, where ``uses_own_kernels`` is False.

    transformers quantizes each tensor as it is read, so the unquantized weights are never all in memory. Embeddings,
    output layer, norms and biases are not quantized.
    """
    bitsandbytes_config: Any = transformers.BitsAndBytesConfig
    if quantization == "int8":
        return bitsandbytes_config(load_in_8bit=True)
    if quantization == "nf4":
        return bitsandbytes_config(
            load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype=dtype
        )
    if quantization == "torchao-int8":
        from torchao.quantization import Int8WeightOnlyConfig

        return transformers.TorchAoConfig(Int8WeightOnlyConfig(set_inductor_config=False))
    return transformers.TorchAoConfig(create_int4_config())


def create_int4_config() -> Any:
    """torchao's configuration of 4 bits, in its one layout for CUDA that needs no other library."""
    from torchao.quantization import Int4WeightOnlyConfig

    return Int4WeightOnlyConfig(
        group_size=GROUP_SIZE, set_inductor_config=False, int4_packing_format="tile_packed_to_4d"
    )


def is_batch_invariant(quantization: str, device: str) -> bool:
    """Whether the logits of a token do not depend on the other tokens of the pass, so that drafts are safe.

    bitsandbytes' 8-bit product computes columns that contain an outlier separately for all tokens of a pass, which
    changes logits by 2e-2.
    """
    return quantization != "int8" or uses_own_kernels(quantization, device)


def bits_per_weight(quantization: str, dtype: torch.dtype) -> float:
    """Bits of a quantized weight with its scales; those of whole rows (32 bits per thousands of weights) are left out.

    nf4 has one byte per group, and four for each 256 of those bytes; torchao's int4 a scale and a zero point per group.
    """
    if quantization == "nf4":
        return 4 + (8 + 32 / 256) / GROUP_SIZE
    if quantization == "torchao-int4":
        return 4 + 2 * 8 * dtype.itemsize / GROUP_SIZE
    return 8.0


def estimate_bytes(quantization: str, checkpoint: Checkpoint, dtype: torch.dtype, device: str) -> int:
    """Memory of the weights, before they are read. Embeddings and output layer are not quantized.

    Our own kernels also have the output layer, in 8 bits, so that its values count in 8 bits and, as embeddings, in
    ``dtype``.
    """
    width = checkpoint.config.get("n_embd") or checkpoint.config.get("hidden_size")
    positions = checkpoint.config.get("n_positions") or 0
    total = checkpoint.weights.values
    embedding = min(total, (checkpoint.vocabulary_size + positions) * int(width or 0))
    if uses_own_kernels(quantization, device):
        scale_bits = 32 / GROUP_SIZE
        output_layer = min(total, checkpoint.vocabulary_size * int(width or 0))
        bits = output_layer * (8 + scale_bits) + (total - output_layer) * (OWN_BITS[quantization] + scale_bits)
        return embedding * dtype.itemsize + int(bits / 8)
    return embedding * dtype.itemsize + int((total - embedding) * bits_per_weight(quantization, dtype) / 8)


def tensor_bytes(tensor: torch.Tensor) -> int:
    """Memory of a weight with its scales. ``nbytes`` of torchao's tensors is that of the unquantized weight."""
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


def is_unquantized(weight: torch.Tensor) -> bool:
    """Whether the values of ``weight`` are those of the checkpoint."""
    return weight.is_floating_point() and type(weight) in (torch.Tensor, nn.Parameter)


def require_finite_logits(
    model: nn.Module, compute_logits: Callable[[], torch.Tensor], quantization: str, checkpoint: Checkpoint
) -> None:
    """Raise ModelInvalid unless ``model`` is quantized and ``compute_logits`` returns finite logits.

    Quantized weights cannot be checked one by one, and the libraries lack kernels for some shapes: bitsandbytes raises
    in the first pass, and torchao silently leaves the weights unquantized.
    """
    if sum(not is_unquantized(weight) for weight in model.parameters()) < 2:
        raise unsupported_error(quantization, checkpoint, ValueError(f"no width here is a multiple of {GROUP_SIZE}"))
    try:
        is_finite = bool(torch.isfinite(compute_logits()).all())
    except (AssertionError, RuntimeError, ValueError, TypeError) as error:
        if is_out_of_memory(error):
            raise
        _log.debug("%s does not run as %s", checkpoint.folder, quantization, exc_info=True)
        raise unsupported_error(quantization, checkpoint, error) from error
    if not is_finite:
        raise ModelInvalid(
            f"{checkpoint.folder} computes no finite numbers once it is quantized to {quantization}: its weights are "
            "damaged, or too large. Set `model.quantization` to none, or download it again."
        )


def unsupported_error(quantization: str, checkpoint: Checkpoint, error: Exception) -> ModelInvalid:
    """An error with the library's reason and what to change."""
    reason = str(error).strip().partition("\n")[0].rstrip(".") or type(error).__name__
    return ModelInvalid(
        f"{checkpoint.folder} cannot be quantized to {quantization} here: {_LIBRARIES[quantization]} says "
        f"{reason!r:.200}. Set `model.quantization` to another kind, or to none."
    )
