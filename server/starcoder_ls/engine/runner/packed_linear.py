"""Linear layers for CPUs whose weights are stored in 16, 8 or 4 bits and multiplied by the compiled kernels.

``pack`` replaces every ``nn.Linear`` of a model, whatever its architecture, by a layer that computes the same products
faster because it reads half the bytes. kernels/README.md describes the memory layouts.
"""

from __future__ import annotations

import enum
import functools
import importlib.util
import logging
import platform
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import nn

_log = logging.getLogger(__name__)

FLOAT16_MAX = 65_504.0
SUPPORTED_MACHINES = ("x86_64", "amd64", "aarch64", "arm64")

MIN_PARALLEL_WEIGHTS = 2_000_000
"""Products of fewer weights with fewer than a tile of rows use one thread: waking another one costs 12 us."""


class WeightFormat(enum.Enum):
    """How the weights of a layer are stored."""

    FLOAT16 = enum.auto()
    BFLOAT16 = enum.auto()
    INT8 = enum.auto()
    INT4 = enum.auto()


@functools.cache
def _block_function(weight_format: WeightFormat) -> int:
    """The address of the kernel for weights of a format, which is compiled now if it is not in the cache."""
    from starcoder_ls.engine.runner.kernels import linear, quantized
    from starcoder_ls.engine.runner.kernels.calls import address_of

    functions = {
        WeightFormat.FLOAT16: linear.float16_block,
        WeightFormat.BFLOAT16: linear.bfloat16_block,
        WeightFormat.INT8: quantized.int8_block,
        WeightFormat.INT4: quantized.int4_block,
    }
    return address_of(functions[weight_format], linear.BLOCK_SIGNATURE)


class PackedLinear(nn.Linear):
    """``nn.Linear`` over packed weights and float32 activations; for inference only.

    ``weight`` is empty: PEFT reads its device and type only.
    """

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None) -> None:
        """float16 and bfloat16 weights keep their type, wider ones become float16.

        ``weight`` [outputs, inputs], ``bias`` [outputs].
        """
        nn.Module.__init__(self)
        self.out_features, self.in_features = weight.shape
        tiles = _split_tiles(weight.detach())  # [blocks, 64, inputs]
        self.blocks = len(tiles)
        self.weight_format = WeightFormat.BFLOAT16 if weight.dtype == torch.bfloat16 else WeightFormat.FLOAT16
        self.packed = (
            (tiles if self.weight_format is WeightFormat.BFLOAT16 else tiles.half()).transpose(1, 2).contiguous()
        )
        self.scales = torch.empty(0)
        self.packed_bias = torch.zeros(self.blocks * tiles.shape[1])
        if bias is not None:
            self.packed_bias[: self.out_features] = bias.detach()
        self.weight = nn.Parameter(torch.empty(0), requires_grad=False)
        self.register_parameter("bias", None)

    def round_to(self, weight_format: WeightFormat) -> None:
        """Round weights of 16 bits to ``INT8`` or ``INT4``."""
        from starcoder_ls.engine.runner import weight_rounding

        assert self.weight_format in (WeightFormat.FLOAT16, WeightFormat.BFLOAT16), self.weight_format
        round_weights = (
            weight_rounding.round_to_8_bits if weight_format is WeightFormat.INT8 else weight_rounding.round_to_4_bits
        )
        self.packed, self.scales = round_weights(self.packed)
        self.weight_format = weight_format

    def dequantized(self) -> torch.Tensor:
        """The weights as they are multiplied: float32 [outputs, inputs]."""
        from starcoder_ls.engine.runner import weight_rounding

        if self.weight_format is WeightFormat.INT8:
            weights = weight_rounding.restore_8_bits(self.packed, self.scales)
        elif self.weight_format is WeightFormat.INT4:
            weights = weight_rounding.restore_4_bits(self.packed, self.scales)
        else:
            weights = self.packed.float()
        return weights.transpose(1, 2).flatten(0, 1)[: self.out_features, : self.in_features]

    @property
    def packed_bytes(self) -> int:
        """Memory of the weights, scales and bias, which are no parameters."""
        return self.packed.nbytes + self.packed_bias.nbytes + self.scales.nbytes

    @property
    def kernel_args(self) -> tuple[int, int, int, int]:
        """Arguments of ``kernels.linear``: addresses of its block function, weights, scales and bias."""
        function = _block_function(self.weight_format)
        return function, self.packed.data_ptr(), self.scales.data_ptr(), self.packed_bias.data_ptr()

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """[..., in] -> [..., out], both float32."""
        from starcoder_ls.engine.runner.kernels.jit import parallel_threads
        from starcoder_ls.engine.runner.kernels.linear import linear, parallel_linear

        inputs = input.contiguous()
        assert inputs.dtype == torch.float32, inputs.dtype
        rows, outputs = inputs.numel() // self.in_features, self.packed_bias.numel()
        result = torch.empty((*input.shape[:-1], outputs))
        if self.scales.numel():
            inputs, row_bytes = _quantize(inputs, self.in_features, rows)
        else:
            row_bytes = 4 * self.in_features
        arguments = (
            *self.kernel_args, 0, self.blocks, self.in_features, inputs.data_ptr(), row_bytes, rows, result.data_ptr(),
            4 * outputs,
        )  # fmt: skip
        available = torch.get_num_threads()
        if available > 1 and (rows + 3) // 4 * self.out_features * self.in_features >= MIN_PARALLEL_WEIGHTS:
            with parallel_threads(available) as threads:
                parallel_linear(*arguments, threads)
        else:
            linear(*arguments)
        return result if outputs == self.out_features else result[..., : self.out_features]


def _quantize(inputs: torch.Tensor, width: int, rows: int) -> tuple[torch.Tensor, int]:
    """``inputs`` as the kernels for 8 and 4 bits read them, and the bytes of a row."""
    from starcoder_ls.engine.runner.kernels.quantized import quantize_rows, quantized_bytes, quantized_row_bytes

    quantized = torch.empty(quantized_bytes(width, rows), dtype=torch.uint8)
    quantize_rows(inputs.data_ptr(), 4 * width, width, rows, quantized.data_ptr())
    return quantized, quantized_row_bytes(width)


def join(layers: Sequence[PackedLinear]) -> tuple[int, int, int, int]:
    """Store the weights of layers with the same inputs one after another, so that one product computes all of them.

    Each layer keeps its own weights, as views. Returns ``kernel_args`` of the product, whose outputs are those of each
    layer in whole blocks. Layers that are joined already stay where they are.
    """
    first = layers[0]
    for name in ("packed", "scales", "packed_bias"):
        tensors = [getattr(layer, name) for layer in layers]
        if not _is_joined(tensors):
            parts = torch.split(torch.cat(tensors), [len(tensor) for tensor in tensors])
            for layer, part in zip(layers, parts, strict=True):
                setattr(layer, name, part)
    return first.kernel_args


def _is_joined(tensors: Sequence[torch.Tensor]) -> bool:
    """Whether ``tensors`` follow one another in the same memory."""
    storages = {tensor.untyped_storage().data_ptr() for tensor in tensors}
    return len(storages) == 1 and all(
        second.data_ptr() == first.data_ptr() + first.nbytes for first, second in pairwise(tensors)
    )


def _split_tiles(weight: torch.Tensor) -> torch.Tensor:
    """[outputs, inputs] -> [blocks, 64, inputs]; the last block is padded with 0."""
    from starcoder_ls.engine.runner.kernels.tiles import TILE_OUTPUTS

    if missing := -len(weight) % TILE_OUTPUTS:
        weight = torch.cat((weight, weight.new_zeros(missing, weight.shape[1])))
    return weight.view(-1, TILE_OUTPUTS, weight.shape[1])


class WideEmbedding(nn.Embedding):
    """Stores embeddings in the type of the checkpoint and returns them as float32."""

    def __init__(self, embedding: nn.Embedding) -> None:
        nn.Module.__init__(self)
        self.num_embeddings, self.embedding_dim = embedding.num_embeddings, embedding.embedding_dim
        self.padding_idx, self.max_norm, self.norm_type = embedding.padding_idx, None, 2.0
        self.scale_grad_by_freq, self.sparse = False, False
        self.weight = nn.Parameter(embedding.weight.detach().clone(), requires_grad=False)

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """[...] -> [..., width], float32."""
        return super().forward(input).float()


def is_possible() -> bool:
    """Whether numba compiles the kernels for this processor and a small product is computed correctly."""
    if platform.machine().lower() not in SUPPORTED_MACHINES or importlib.util.find_spec("numba") is None:
        return False
    try:
        with torch.inference_mode():
            weight = torch.linspace(-1, 1, 33 * 70).view(70, 33).half()
            inputs = torch.linspace(-2, 2, 5 * 33).view(5, 33)
            result = PackedLinear(weight, None)(inputs)
            return bool(torch.allclose(result, inputs @ weight.float().T, rtol=1e-4, atol=1e-4))
    except Exception as error:  # noqa: BLE001 - whatever a compiler raises here: the model runs without it
        _log.warning("The compiled kernels cannot be used on this machine, so the model is slower: %s", error)
        return False


def pack(model: nn.Module) -> bool:
    """Replace the linear layers and embeddings of ``model`` in place.

    All other weights (norms, biases of other modules) become float32, so that activations are float32 throughout.
    Returns False and changes nothing if a weight is too large for float16.
    """
    linears = [module for module in model.modules() if type(module) is nn.Linear]
    wide = [linear.weight for linear in linears if linear.weight.dtype not in (torch.float16, torch.bfloat16)]
    if any(float(torch.stack(torch.aminmax(weight.detach())).abs().max()) > FLOAT16_MAX for weight in wide):
        return False
    _pack_linears(model)
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if type(child) is nn.Embedding:
                setattr(module, name, WideEmbedding(child))
            elif not list(child.children()) and not isinstance(child, PackedLinear):
                child.float()
    return True


def _pack_linears(model: nn.Module) -> None:
    """The largest first: the memory that it frees is used for the next ones."""
    found = [(module, name) for module in model.modules() for name, child in module.named_children()
             if type(child) is nn.Linear]  # fmt: skip
    found.sort(key=lambda attribute: -getattr(*attribute).weight.numel())
    for module, name in found:
        layer = getattr(module, name)
        setattr(module, name, PackedLinear(layer.weight, layer.bias))


def bytes_of(model: nn.Module) -> int:
    """Memory of the packed weights of ``model``."""
    return sum(layer.packed_bytes for layer in layers_of(model))


def layers_of(model: nn.Module) -> list[PackedLinear]:
    """All packed layers of ``model``, in its order."""
    return [module for module in model.modules() if isinstance(module, PackedLinear)]
