"""CUDA graphs where there is no CUDA: the operations of a function, done again on the very same tensors.

Python runs once, addresses are fixed, and what would wait for the device is refused, as in a capture. What is left in
memory that only the function had is spoilt after every replay, since other graphs would write there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

# Answers that depend on values, and tensors made of Python's numbers: on a GPU both wait for the device.
WAITS = {"_local_scalar_dense", "item", "is_nonzero", "nonzero", "masked_select", "equal", "lift_fresh", "unique_dim"}


class Waits(RuntimeError):
    """The function cannot be in a graph."""


class _Recorder(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Any, Any, Any, Any]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func._schema.name.removeprefix("aten::")
        if name in WAITS or (name == "index" and any(t is not None and t.dtype == torch.bool for t in args[1])):
            raise Waits(f"{name} in a graph")
        made = func(*args, **(kwargs or {}))
        self.calls.append((func, args, kwargs or {}, made))
        return made


class Tape:
    """What was recorded."""

    def __init__(self, function: Callable[[], None]) -> None:
        function()  # the warm-up
        with _Recorder() as recorder:
            function()
        self._calls = recorder.calls
        known: set[int] = set()
        self._own: list[torch.Tensor] = []
        for _, args, kwargs, made in self._calls:
            known |= {_memory(tensor) for tensor in _tensors((args, kwargs))}
            self._own += [tensor for tensor in _tensors(made) if _memory(tensor) not in known]
            known |= {_memory(tensor) for tensor in _tensors(made)}
        self.replays = 0
        self._spoil()

    @property
    def operations(self) -> int:
        return len(self._calls)

    def replay(self) -> None:
        self.replays += 1
        with torch.inference_mode():
            for func, args, kwargs, made in self._calls:
                for old, new in zip(_tensors(made), _tensors(func(*args, **kwargs)), strict=True):
                    if _memory(old) != _memory(new):
                        old.copy_(new)
        self._spoil()

    def _spoil(self) -> None:
        with torch.inference_mode():
            for tensor in self._own:
                tensor.fill_(torch.nan if tensor.is_floating_point() else 1)


def _tensors(tree: Any) -> list[torch.Tensor]:
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, torch.Tensor)]


def _memory(tensor: torch.Tensor) -> int:
    return tensor.untyped_storage().data_ptr()
