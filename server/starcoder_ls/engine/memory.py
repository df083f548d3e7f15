"""Out of memory, whoever says it: one error and one sentence; and memory given back.

Decides which exceptions mean it. Refuses to know what was being computed.
"""

from __future__ import annotations

import gc
import re
import sys

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
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.empty_cache()
