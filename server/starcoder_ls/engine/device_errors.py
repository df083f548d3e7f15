"""A device that has failed for good: every later call fails as well, until a new engine or a new process has it.

Decides which exceptions mean it. Refuses to know what was being computed.
"""

from __future__ import annotations

import re

from starcoder_ls.engine.memory import is_out_of_memory

# "CUDA error: an illegal memory access was encountered", "CUDA error: device-side assert triggered", ...
_WORDS = re.compile(r"\b(CUDA|HIP|MPS) error|device-side assert|CUBLAS_STATUS|CUDNN_STATUS|NCCL error", re.I)


def has_device_failed(error: BaseException) -> bool:
    """No room is not a failure: the next request may have it."""
    if not isinstance(error, RuntimeError) or is_out_of_memory(error):
        return False
    import torch

    return isinstance(error, torch.AcceleratorError) or bool(_WORDS.search(str(error)))
