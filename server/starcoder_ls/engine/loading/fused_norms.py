"""Root-mean-square norms as one operation of torch instead of the seven of transformers' module, for GPUs.

The result differs by rounding: transformers rounds the normalized state before it multiplies by the weight.
"""

from __future__ import annotations

import torch
from torch import nn

_CLASSES = frozenset({"LlamaRMSNorm", "Qwen2RMSNorm"})


def use_fused_norms(model: nn.Module) -> int:
    """Replace the norms of Llama and Qwen2 in ``model``; their weights stay the same tensors. Returns how many."""
    norms = [(name, module) for name, module in model.named_modules() if type(module).__name__ in _CLASSES]
    for name, module in norms:
        weight = module.weight
        assert isinstance(weight, nn.Parameter)
        with torch.device("meta"):
            fused = nn.RMSNorm(weight.shape[0], eps=module.variance_epsilon)
        fused.weight = weight
        parent, _, attribute = name.rpartition(".")
        setattr(model.get_submodule(parent), attribute, fused.eval())
    return len(norms)
