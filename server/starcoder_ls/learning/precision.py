"""The type in which training multiplies matrices: bfloat16 where the device has instructions for it, else float32.

Zen 3 has none (2 cores, torch 2.13, 2026-11-29): a product of two matrices of 1,024 x 1,024 takes 5 to 6 s in bfloat16
and 0.07 to 0.08 s in float32.
"""

from __future__ import annotations

import torch

from starcoder_ls.engine.loading.placement import X86_BFLOAT16

_CPU_INSTRUCTIONS = (*X86_BFLOAT16, "bf16")
"""As ``X86_BFLOAT16``, with the name on ARM."""


def product_dtype(device_type: str) -> torch.dtype:
    """``device_type`` is that of a ``torch.device``: "cpu", "cuda" or "mps"."""
    if device_type == "cpu" and not any(torch.cpu.get_capabilities().get(name) for name in _CPU_INSTRUCTIONS):
        return torch.float32
    return torch.bfloat16


def autocast(device_type: str) -> torch.autocast:
    """Autocast to ``product_dtype``; one that is switched off if that is float32."""
    return torch.autocast(device_type, torch.bfloat16, enabled=product_dtype(device_type) is torch.bfloat16)
