"""Out of memory, whoever says it: one error and one sentence; memory given back, and what is never looked at for it.

Decides which exceptions mean it. Refuses to know what was being computed.
"""

from __future__ import annotations

import gc
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager

# torch has an exception class for accelerators only; these are the CPU allocator's and mmap's words.
_CPU = re.compile(
    r"can't allocate memory|not enough memory|DefaultCPUAllocator|unable to mmap|Cannot allocate memory", re.I
)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether ``error`` says that the device or the host has no room."""
    if isinstance(error, MemoryError):
        return True
    import torch

    return isinstance(error, torch.OutOfMemoryError) or (
        isinstance(error, RuntimeError | OSError) and bool(_CPU.search(str(error)))
    )


def give_back() -> None:
    """What nothing refers to any more goes to the device and the system now: the process may live on."""
    gc.unfreeze()
    gc.collect()
    gc.freeze()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.empty_cache()


@contextmanager
def kept() -> Iterator[None]:
    """What is made in here is taken to last: Python's garbage collector does not look for more room meanwhile, nor at
    any of it later, until memory is given back.

    torch and transformers are half a million objects. To look at them took 0.3 s, several times while they were
    imported (2.7 s to a ready bundled model instead of 4.6) and once in a while between two keys.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was_enabled:
            gc.enable()
