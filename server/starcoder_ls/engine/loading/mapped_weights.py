"""Weights that are memory-mapped files, as safetensors returns them: a write to the file would change them.

A file that is truncated would even end the process (SIGBUS). So tensors that stay in use are copied after loading; at
that time most of them have been converted already, to another type, device or packed layout.
"""

from __future__ import annotations

import torch


def copy_mapped_weights(model: torch.nn.Module) -> int:
    """Replace each parameter and buffer of ``model`` that is part of a file by a copy. Returns the bytes copied.

    Tied parameters stay tied. At most one tensor is in memory twice.
    """
    copied_bytes = 0
    for tensor in (*model.parameters(), *model.buffers()):
        if is_mapped(tensor):
            tensor.data = tensor.data.clone()
            copied_bytes += tensor.numel() * tensor.element_size()
    return copied_bytes


def is_mapped(tensor: torch.Tensor) -> bool:
    """Whether torch has not allocated the memory of ``tensor``, so that it may be that of a file.

    safetensors' mapping is not visible in another way. Tensors without a storage of their own are not mapped.
    """
    if tensor.device.type != "cpu":
        return False
    try:
        return not tensor.untyped_storage().resizable()
    except (NotImplementedError, RuntimeError):  # subclasses of quantization libraries
        return False
