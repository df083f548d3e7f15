"""A stand-in for CUDA graphs on a CPU: records the operations of a function and repeats them on the same tensors.

As in a capture, Python runs once, addresses are fixed, and operations that wait for the device raise. Temporary tensors
of the function are overwritten after every replay, since other graphs use the same memory.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

# Operations whose results depend on values, and tensors from Python numbers: on a GPU these wait for the device.
WAITING_OPERATIONS = {
    "_local_scalar_dense",
    "item",
    "is_nonzero",
    "nonzero",
    "masked_select",
    "equal",
    "lift_fresh",
    "unique_dim",
}


class WaitsForDevice(RuntimeError):
    """The function contains an operation that a graph cannot contain."""


class _Recorder(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Any, Any, Any, Any]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func._schema.name.removeprefix("aten::")
        if name in WAITING_OPERATIONS or (
            name == "index" and any(t is not None and t.dtype == torch.bool for t in args[1])
        ):
            raise WaitsForDevice(f"{name} in a graph")
        results = func(*args, **(kwargs or {}))
        self.calls.append((func, args, kwargs or {}, results))
        return results


class Tape:
    """The recorded operations of a function, with the interface of ``CapturedGraph``."""

    def __init__(self, function: Callable[[], None]) -> None:
        function()  # warm-up
        with _Recorder() as recorder:
            function()
        self._calls = recorder.calls
        seen: set[int] = set()
        self._temporaries: list[torch.Tensor] = []
        for _, args, kwargs, results in self._calls:
            seen |= {_memory(tensor) for tensor in _tensors((args, kwargs))}
            self._temporaries += [tensor for tensor in _tensors(results) if _memory(tensor) not in seen]
            seen |= {_memory(tensor) for tensor in _tensors(results)}
        self.replays = 0
        self._overwrite_temporaries()

    @property
    def operations(self) -> int:
        return len(self._calls)

    def replay(self) -> None:
        self.replays += 1
        with torch.inference_mode():
            for func, args, kwargs, results in self._calls:
                for old, new in zip(_tensors(results), _tensors(func(*args, **kwargs)), strict=True):
                    if _memory(old) != _memory(new):
                        old.copy_(new)
        self._overwrite_temporaries()

    def _overwrite_temporaries(self) -> None:
        with torch.inference_mode():
            for tensor in self._temporaries:
                tensor.fill_(torch.nan if tensor.is_floating_point() else 1)


def _tensors(tree: Any) -> list[torch.Tensor]:
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, torch.Tensor)]


def _memory(tensor: torch.Tensor) -> int:
    return tensor.untyped_storage().data_ptr()
