from __future__ import annotations

from pathlib import Path

import pytest
import torch

import adapter_fixtures
from starcoder_ls.engine.adapters.config import read_config
from starcoder_ls.engine.adapters.registry import METHODS
from starcoder_ls.errors import AdapterInvalid


def test_feedforward_modules_outside_target_modules_are_refused(tmp_path: Path) -> None:
    with pytest.raises(AdapterInvalid, match="not among `target_modules`"):
        read_config(adapter_fixtures.write_config(tmp_path, "IA3", feedforward_modules=["c_fc"]))


@pytest.mark.parametrize("quantization", ["int8", "nf4"])
def test_half_precision_over_bitsandbytes_is_a_conflict(quantization: str) -> None:
    conflict = METHODS["IA3"].find_base_conflict(quantization, torch.bfloat16)
    assert conflict is not None
    assert "needs float32 activations, and `model.dtype` is bfloat16" in conflict


@pytest.mark.parametrize(
    ("quantization", "dtype"), [("int8", torch.float32), ("none", torch.bfloat16), ("torchao-int8", torch.float16)]
)
def test_other_bases_are_no_conflict(quantization: str, dtype: torch.dtype) -> None:
    assert METHODS["IA3"].find_base_conflict(quantization, dtype) is None
