"""Errors after which a device fails every later call, until a new engine or a new process uses it."""

from __future__ import annotations

import re

from starcoder_ls.engine.memory import is_out_of_memory

# "CUDA error: an illegal memory access was encountered", "CUDA error: device-side assert triggered", ...
_DEVICE_MESSAGES = re.compile(r"\b(CUDA|HIP|MPS) error|device-side assert|CUBLAS_STATUS|CUDNN_STATUS|NCCL error", re.I)


def has_device_failed(error: BaseException) -> bool:
    """Whether ``error`` means that. Running out of memory does not: the next request may have enough."""
    if not isinstance(error, RuntimeError) or is_out_of_memory(error):
        return False
    import torch

    return isinstance(error, torch.AcceleratorError) or bool(_DEVICE_MESSAGES.search(str(error)))
