"""Linear layers for CPUs whose weights are stored in 16 or 8 bits and multiplied by the compiled kernels.

``pack`` replaces every ``nn.Linear`` of a model, whatever its architecture, by a layer that computes the same products
faster because it reads half the bytes. kernels/README.md describes the memory layouts.
"""

from __future__ import annotations

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


class PackedLinear(nn.Linear):
    """``nn.Linear`` over packed weights and float32 activations; for inference only.

    ``weight`` is empty: PEFT reads its device and type only.
    """

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None) -> None:
        """float16 and bfloat16 weights keep their type, wider ones become float16.

        ``weight`` [outputs, inputs], ``bias`` [outputs].
        """
        from starcoder_ls.engine.runner.kernels.linear import WeightFormat

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

    def round_to_8_bits(self) -> None:
        """Round the weights to int8, with one scale for each group of 64 inputs of an output."""
        from starcoder_ls.engine.runner.kernels.linear import GROUP_INPUTS, WeightFormat

        blocks, inputs, outputs = self.packed.shape
        padded = nn.functional.pad(self.packed.float(), (0, 0, 0, -inputs % GROUP_INPUTS)).view(
            blocks, -1, GROUP_INPUTS, outputs
        )
        scales = padded.abs().amax(2, keepdim=True) / 127  # [blocks, groups, 1, 64]
        rounded = (padded / scales.clamp_min(torch.finfo(torch.float32).tiny)).round_().to(torch.int8)
        self.packed = rounded.view(blocks, -1, outputs)[:, :inputs].contiguous()
        self.scales = scales[:, :, 0].contiguous()
        self.weight_format = WeightFormat.INT8

    @property
    def packed_bytes(self) -> int:
        """Memory of the weights, scales and bias, which are no parameters."""
        return self.packed.nbytes + self.packed_bias.nbytes + self.scales.nbytes

    @property
    def kernel_args(self) -> tuple[int, int, int, int]:
        """Arguments of ``kernels.linear``: weight format, and addresses of weights, scales and bias."""
        return int(self.weight_format), self.packed.data_ptr(), self.scales.data_ptr(), self.packed_bias.data_ptr()

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """[..., in] -> [..., out], both float32."""
        from starcoder_ls.engine.runner.kernels.jit import parallel_threads
        from starcoder_ls.engine.runner.kernels.linear import linear, parallel_linear

        inputs = input.contiguous()
        assert inputs.dtype == torch.float32, inputs.dtype
        rows, outputs = inputs.numel() // self.in_features, self.packed_bias.numel()
        result = torch.empty((*input.shape[:-1], outputs))
        arguments = (
            *self.kernel_args, self.blocks, self.in_features, inputs.data_ptr(), 4 * self.in_features,
            rows, result.data_ptr(), 4 * outputs,
        )  # fmt: skip
        available = torch.get_num_threads()
        if available > 1 and (rows + 3) // 4 * self.out_features * self.in_features >= MIN_PARALLEL_WEIGHTS:
            with parallel_threads(available) as threads:
                parallel_linear(*arguments, threads)
        else:
            linear(*arguments)
        return result if outputs == self.out_features else result[..., : self.out_features]


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
    return sum(module.packed_bytes for module in model.modules() if isinstance(module, PackedLinear))


def round_to_8_bits(model: nn.Module) -> None:
    """Round all packed layers of ``model`` to 8 bits."""
    for module in model.modules():
        if isinstance(module, PackedLinear):
            module.round_to_8_bits()
