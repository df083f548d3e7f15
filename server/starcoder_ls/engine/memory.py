"""Out of memory, whoever says it: one error and one sentence.

Decides which exceptions mean it. Refuses to know what was being computed.
"""

from __future__ import annotations

import re

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
