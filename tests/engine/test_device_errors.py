from __future__ import annotations

import pytest
import torch

from starcoder_ls.engine.device_errors import has_device_failed


@pytest.mark.parametrize(
    "error",
    [
        torch.AcceleratorError("CUDA error: an illegal memory access was encountered"),
        RuntimeError("CUDA error: device-side assert triggered"),
        RuntimeError("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasGemmEx`"),
    ],
)
def test_what_every_later_call_would_say_too_is_a_failure_of_the_device(error: Exception) -> None:
    assert has_device_failed(error)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("mat1 and mat2 shapes cannot be multiplied (1x2 and 3x4)"),
        ValueError("CUDA error"),
    ],
)
def test_one_request_s_fault_and_missing_room_are_none(error: Exception) -> None:
    assert not has_device_failed(error)
