"""A device without float64, such as Apple's MPS: operations on tensors of that type raise TypeError, as they do there.

Tensors of the CPU's random generator are exempt: they never reach the device.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

# Operations that make a float64 of a Python number on the device, inside their C++ code.
HIDDEN_FLOAT64 = {torch.ops.aten.searchsorted.Scalar, torch.ops.aten.bucketize.Scalar}


READING = {torch.ops.aten._local_scalar_dense.default, torch.ops.aten.item.default}


class NoFloat64(TorchDispatchMode):
    """Refuses float64 within its context. ``operations`` counts what ran."""

    def __init__(self) -> None:
        super().__init__()
        self.operations = 0

    def __torch_dispatch__(self, func: Any, _types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        results = func(*args, **kwargs)
        tensors = [leaf for leaf in tree_leaves((args, results)) if isinstance(leaf, torch.Tensor)]
        is_random = kwargs.get("generator") is not None or func in READING
        has_float64 = any(tensor.dtype == torch.float64 for tensor in tensors)
        if func in HIDDEN_FLOAT64 or (has_float64 and not is_random):
            raise TypeError(f"Cannot convert a MPS Tensor to float64 dtype ({func})")
        self.operations += 1
        return results
