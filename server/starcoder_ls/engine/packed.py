"""Linear layers whose weights are kept as packed half precision, for x86 CPUs.

Decides which layers are worth it and whether this machine can. Refuses to know architectures: every ``nn.Linear`` of a
model becomes one that gives the same answers sooner, and reads half the bytes.
"""

from __future__ import annotations

import logging
import warnings

import torch
from torch import nn

_log = logging.getLogger(__name__)

# One thread of Zen 5, float32 against packed, for a step of the bundled model whose weights come from memory: 2.8 and
# 1.3 ms; for 256 tokens read at once 55 and 36. A single small layer whose weights are in the cache is quicker in
# float32 (18 us against 27 for 256 -> 1,024), which never happens in a model.
_HALF_MAX = 65_504.0


class PackedLinear(nn.Linear):
    """``nn.Linear`` over packed float16 weights and float32 activations; for inference only.

    ``weight`` is empty: PEFT asks it for device and type alone.
    """

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None, scratch: torch.Tensor | None = None) -> None:
        """``scratch`` is memory for float32 copies of weights, to be used again."""
        nn.Module.__init__(self)
        self.out_features, self.in_features = weight.shape
        wide = torch.empty(weight.numel()) if scratch is None else scratch[: weight.numel()]
        wide = wide.view(weight.shape).copy_(weight.detach())
        wide_bias = None if bias is None else bias.detach().float().contiguous()
        self._packed = torch.ops.quantized.linear_prepack_fp16(wide, wide_bias)
        self.weight = nn.Parameter(torch.empty(0), requires_grad=False)
        self.register_parameter("bias", None)

    @property
    def packed_bytes(self) -> int:
        """Memory that no parameter shows."""
        return 2 * self.in_features * self.out_features + 4 * self.out_features

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """[..., in] -> [..., out], both float32."""
        packed: torch.Tensor = torch.ops.quantized.linear_dynamic_fp16(input, self._packed)
        return packed


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
    """Whether this build of torch has the kernels and they count right: a small product is tried."""
    try:
        with warnings.catch_warnings(), torch.inference_mode():
            warnings.simplefilter("ignore")  # torch says that its quantized engines will move to torchao
            weight = torch.linspace(-1, 1, 33 * 70).view(70, 33).half().float()
            entry = torch.linspace(-2, 2, 5 * 33).view(5, 33)
            packed = torch.ops.quantized.linear_prepack_fp16(weight, None)
            answer = torch.ops.quantized.linear_dynamic_fp16(entry, packed)
            return bool(torch.allclose(answer, entry @ weight.T, rtol=1e-4, atol=1e-4))
    except (RuntimeError, AttributeError, NotImplementedError) as error:
        _log.debug("no packed half precision here: %s", error)
        return False


def pack(model: nn.Module) -> bool:
    """Replace the layers of ``model`` in place; False, and nothing is changed, where its weights do not fit float16.

    What is not packed (norms, biases of other modules) becomes float32, so that activations are float32 throughout.
    """
    linears = [module for module in model.modules() if type(module) is nn.Linear]
    if any(float(torch.stack(torch.aminmax(linear.weight.detach())).abs().max()) > _HALF_MAX for linear in linears):
        return False
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        _pack_linears(model)
        for module in list(model.modules()):
            for name, child in list(module.named_children()):
                if type(child) is nn.Embedding:
                    setattr(module, name, WideEmbedding(child))
                elif not list(child.children()) and not isinstance(child, PackedLinear):
                    child.float()
    return True


def _pack_linears(model: nn.Module) -> None:
    """The largest first, over scratch memory: a copy per layer left 0.2 GB of holes in the heap of a 1B model."""
    found = [(module, name) for module in model.modules() for name, child in module.named_children()
             if type(child) is nn.Linear]  # fmt: skip
    found.sort(key=lambda place: -getattr(*place).weight.numel())
    scratch: torch.Tensor | None = None
    for module, name in found:
        layer = getattr(module, name)
        if scratch is None or scratch.numel() > 2 * layer.weight.numel():
            scratch = None  # given back before the next is taken
            scratch = torch.empty(layer.weight.numel())
        setattr(module, name, PackedLinear(layer.weight, layer.bias, scratch))


def bytes_of(model: nn.Module) -> int:
    """Memory of packed weights."""
    return sum(module.packed_bytes for module in model.modules() if isinstance(module, PackedLinear))
