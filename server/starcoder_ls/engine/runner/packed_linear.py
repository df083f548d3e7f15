"""Linear layers whose weights are kept in 16 or 8 bits and multiplied by kernels of our own, for CPUs.

Decides which kind of number holds which weights, and whether this machine can. Refuses to know architectures: every
``nn.Linear`` of a model becomes one that gives the same answers sooner, and reads half the bytes.
"""

from __future__ import annotations

import importlib.util
import logging
import platform

import torch
from torch import nn

_log = logging.getLogger(__name__)

_HALF_MAX = 65_504.0
_MACHINES = ("x86_64", "amd64", "aarch64", "arm64")

SHARED_WEIGHTS = 2_000_000
"""Products of fewer weights with fewer than a tile of rows are not worth a second thread: to wake one costs 12 us."""


class PackedLinear(nn.Linear):
    """``nn.Linear`` over packed weights and float32 activations; for inference only.

    ``weight`` is empty: PEFT asks it for device and type alone.
    """

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None) -> None:
        """float16 and bfloat16 are kept as they are, wider ones become float16."""
        from starcoder_ls.engine.runner.kernels.linear import WeightFormat

        nn.Module.__init__(self)
        self.out_features, self.in_features = weight.shape
        tiles = _tiled(weight.detach())  # [blocks, 64, inputs]
        self.blocks = len(tiles)
        self.kind = WeightFormat.BFLOAT16 if weight.dtype == torch.bfloat16 else WeightFormat.FLOAT16
        self.packed = (tiles if self.kind is WeightFormat.BFLOAT16 else tiles.half()).transpose(1, 2).contiguous()
        self.scales = torch.empty(0)
        self.packed_bias = torch.zeros(self.blocks * tiles.shape[1])
        if bias is not None:
            self.packed_bias[: self.out_features] = bias.detach()
        self.weight = nn.Parameter(torch.empty(0), requires_grad=False)
        self.register_parameter("bias", None)

    def round_to_8_bits(self) -> None:
        """From here on each group of 64 inputs of an output has one scale, and the weights are int8."""
        from starcoder_ls.engine.runner.kernels.linear import GROUP_INPUTS, WeightFormat

        blocks, inputs, outputs = self.packed.shape
        whole = nn.functional.pad(self.packed.float(), (0, 0, 0, -inputs % GROUP_INPUTS)).view(
            blocks, -1, GROUP_INPUTS, outputs
        )
        scales = whole.abs().amax(2, keepdim=True) / 127  # [blocks, groups, 1, 64]
        numbers = (whole / scales.clamp_min(torch.finfo(torch.float32).tiny)).round_().to(torch.int8)
        self.packed = numbers.view(blocks, -1, outputs)[:, :inputs].contiguous()
        self.scales = scales[:, :, 0].contiguous()
        self.kind = WeightFormat.INT8

    @property
    def packed_bytes(self) -> int:
        """Memory that no parameter shows."""
        return self.packed.nbytes + self.packed_bias.nbytes + self.scales.nbytes

    @property
    def kernel_args(self) -> tuple[int, int, int, int]:
        """The arguments of ``products.linear``: kind, and addresses of weights, scales and bias."""
        return int(self.kind), self.packed.data_ptr(), self.scales.data_ptr(), self.packed_bias.data_ptr()

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """[..., in] -> [..., out], both float32."""
        from starcoder_ls.engine.runner.kernels.jit import parallel_threads
        from starcoder_ls.engine.runner.kernels.linear import linear, parallel_linear

        entry = input.contiguous()
        assert entry.dtype == torch.float32, entry.dtype
        rows, outputs = entry.numel() // self.in_features, self.packed_bias.numel()
        answer = torch.empty((*input.shape[:-1], outputs))
        where = (*self.kernel_args, self.blocks, self.in_features, entry.data_ptr(), 4 * self.in_features)
        rest = rows, answer.data_ptr(), 4 * outputs
        wanted = torch.get_num_threads()
        if wanted > 1 and (rows + 3) // 4 * self.out_features * self.in_features >= SHARED_WEIGHTS:
            with parallel_threads(wanted) as threads:
                parallel_linear(*where, *rest, threads)
        else:
            linear(*where, *rest)
        return answer if outputs == self.out_features else answer[..., : self.out_features]


def _tiled(weight: torch.Tensor) -> torch.Tensor:
    """[outputs, inputs] -> [blocks, 64, inputs]; what is missing to a whole block is 0."""
    from starcoder_ls.engine.runner.kernels.tiles import TILE_OUTPUTS

    if missing := -len(weight) % TILE_OUTPUTS:
        weight = torch.cat((weight, weight.new_zeros(missing, weight.shape[1])))
    return weight.view(-1, TILE_OUTPUTS, weight.shape[1])


class WideEmbedding(nn.Embedding):
    """Rows in the type of the checkpoint, handed out as float32."""

    def __init__(self, embedding: nn.Embedding) -> None:
        nn.Module.__init__(self)
        self.num_embeddings, self.embedding_dim = embedding.num_embeddings, embedding.embedding_dim
        self.padding_idx, self.max_norm, self.norm_type = embedding.padding_idx, None, 2.0
        self.scale_grad_by_freq, self.sparse = False, False
        self.weight = nn.Parameter(embedding.weight.detach().clone(), requires_grad=False)

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        return super().forward(input).float()


def is_possible() -> bool:
    """Whether there is a compiler for this processor, and what it makes counts right: a small product is tried."""
    if platform.machine().lower() not in _MACHINES or importlib.util.find_spec("numba") is None:
        return False
    try:
        with torch.inference_mode():
            weight = torch.linspace(-1, 1, 33 * 70).view(70, 33).half()
            entry = torch.linspace(-2, 2, 5 * 33).view(5, 33)
            answer = PackedLinear(weight, None)(entry)
            return bool(torch.allclose(answer, entry @ weight.float().T, rtol=1e-4, atol=1e-4))
    except Exception as error:  # noqa: BLE001 - whatever a compiler says of this machine: there is a way without it
        _log.warning("No kernels of our own here, so that the model is slower: %s", error)
        return False


def pack(model: nn.Module) -> bool:
    """Replace the layers of ``model`` in place; False, and nothing is changed, where its weights do not fit float16.

    What is not packed (norms, biases of other modules) becomes float32, so that activations are float32 throughout.
    """
    linears = [module for module in model.modules() if type(module) is nn.Linear]
    wide = [linear.weight for linear in linears if linear.weight.dtype not in (torch.float16, torch.bfloat16)]
    if any(float(torch.stack(torch.aminmax(weight.detach())).abs().max()) > _HALF_MAX for weight in wide):
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
    """The largest first: what it leaves free is where the next ones go."""
    found = [(module, name) for module in model.modules() for name, child in module.named_children()
             if type(child) is nn.Linear]  # fmt: skip
    found.sort(key=lambda place: -getattr(*place).weight.numel())
    for module, name in found:
        layer = getattr(module, name)
        setattr(module, name, PackedLinear(layer.weight, layer.bias))


def bytes_of(model: nn.Module) -> int:
    """Memory of packed weights."""
    return sum(module.packed_bytes for module in model.modules() if isinstance(module, PackedLinear))


def round_to_8_bits(model: nn.Module) -> None:
    """All packed layers of ``model``."""
    for module in model.modules():
        if isinstance(module, PackedLinear):
            module.round_to_8_bits()
