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
def test_errors_that_every_later_call_repeats_are_device_failures(error: Exception) -> None:
    assert has_device_failed(error)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("mat1 and mat2 shapes cannot be multiplied (1x2 and 3x4)"),
        ValueError("CUDA error"),
    ],
)
def test_request_errors_and_out_of_memory_are_no_device_failures(error: Exception) -> None:
    assert not has_device_failed(error)
