from __future__ import annotations

import pytest
import torch

from starcoder_ls.learning import precision


@pytest.mark.parametrize(
    ("capabilities", "dtype"),
    [
        ({"architecture": "x86_64", "avx2": True, "avx512_bf16": False, "amx_bf16": False}, torch.float32),
        ({"architecture": "x86_64", "avx512_f": True, "avx512_bf16": False}, torch.float32),
        ({"architecture": "x86_64", "avx512_bf16": True, "amx_bf16": False}, torch.bfloat16),
        ({"architecture": "x86_64", "avx512_bf16": False, "amx_bf16": True}, torch.bfloat16),
        ({"architecture": "aarch64", "neon": True, "bf16": True}, torch.bfloat16),
        ({"architecture": "aarch64", "neon": True, "bf16": False}, torch.float32),
    ],
)
def test_cpu_multiplies_in_bfloat16_if_it_has_instructions(
    monkeypatch: pytest.MonkeyPatch, capabilities: dict[str, object], dtype: torch.dtype
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    assert precision.product_dtype("cpu") is dtype
    weight = torch.ones(2, 2)
    with precision.autocast("cpu"):
        assert (weight @ weight).dtype is dtype


@pytest.mark.parametrize("device", ["cuda", "mps"])
def test_gpus_multiply_in_bfloat16(monkeypatch: pytest.MonkeyPatch, device: str) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {})
    assert precision.product_dtype(device) is torch.bfloat16
