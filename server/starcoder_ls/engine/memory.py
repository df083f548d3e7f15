"""Memory: which errors mean that there is none left, how it is released, and what the collector need not examine."""

from __future__ import annotations

import atexit
import gc
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager

# torch has an exception class for accelerators only; these are the messages of the CPU allocator and of mmap.
_CPU_MESSAGES = re.compile(
    r"can't allocate memory|not enough memory|DefaultCPUAllocator|unable to mmap|Cannot allocate memory", re.I
)

atexit.register(gc.unfreeze)
"""Objects that are still frozen at the end of the process are not destroyed. nanobind prints those of Triton 3.9
(torch 2.15) as forty lines about leaks, after the answer of a command."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether ``error`` means that the device or the host has no memory left."""
    if isinstance(error, MemoryError):
        return True
    import torch

    return isinstance(error, torch.OutOfMemoryError) or (
        isinstance(error, RuntimeError | OSError) and bool(_CPU_MESSAGES.search(str(error)))
    )


def release_memory() -> None:
    """Collect garbage, and return the device's cached memory to the system: this process may live on."""
    gc.unfreeze()
    gc.collect()
    gc.freeze()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.empty_cache()


@contextmanager
def gc_frozen() -> Iterator[None]:
    """The garbage collector does not run in here, and does not examine the objects made here until ``release_memory``.

    torch and transformers are half a million objects. Examining them took 0.3 s, several times while they were imported
    (2.7 s to a ready bundled model instead of 4.6) and occasionally between two keys.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was_enabled:
            gc.enable()
