"""Captures that fail leave torch's allocator usable. tests/gpu/test_graphs_cuda.py has the same on a device."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from fake_cuda import FakeCuda
from starcoder_ls.engine.cuda_graphs import capture as capture_module
from starcoder_ls.engine.cuda_graphs.capture import WARMUP_RUNS, CudaCapture
from starcoder_ls.errors import DeviceFailed


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> FakeCuda:
    cuda = FakeCuda()
    cuda.install(monkeypatch)
    return cuda


@pytest.fixture
def capture(cuda: FakeCuda) -> CudaCapture:
    del cuda  # installed before
    return CudaCapture(torch.device("cuda", 0))


def fails_in_capture(cuda: FakeCuda) -> Callable[[], None]:
    def raise_in_capture() -> None:
        if cuda.is_capturing:
            raise ZeroDivisionError

    return raise_in_capture


def test_function_runs_for_warm_up_and_once_in_the_capture(cuda: FakeCuda, capture: CudaCapture) -> None:
    was_capturing: list[bool] = []
    capture(lambda: was_capturing.append(cuda.is_capturing))
    assert was_capturing == [False] * WARMUP_RUNS + [True]


@pytest.mark.parametrize("has_live_graph", [False, True])
def test_capture_that_became_invalid_restores_the_allocator(
    has_live_graph: bool, cuda: FakeCuda, capture: CudaCapture
) -> None:
    live = capture(lambda: None) if has_live_graph else None
    with pytest.raises(RuntimeError, match="during capture"):
        capture(cuda.wait_for_device)
    cuda.empty_cache()
    graph = capture(lambda: None)
    graph.replay()
    assert cuda.recording == []
    assert sum(cuda.references.values()) == 1 + (live is not None)


def test_failed_function_ends_a_valid_capture_once(cuda: FakeCuda, capture: CudaCapture) -> None:
    """``capture_end`` succeeds then; the pool is released with the graph."""
    with pytest.raises(ZeroDivisionError):
        capture(fails_in_capture(cuda))
    cuda.empty_cache()
    assert cuda.recording == []
    assert sum(cuda.references.values()) == 1


@pytest.mark.parametrize("function", ["_cuda_endAllocateToPool", "_cuda_releasePool"])
def test_allocator_that_cannot_be_restored_fails_the_device(
    function: str, cuda: FakeCuda, capture: CudaCapture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The engine is rebuilt then: a later ``empty_cache`` would fail in the middle of a request."""
    monkeypatch.delattr(torch._C, function)
    with pytest.raises(DeviceFailed, match="allocator could not be restored"):
        capture(cuda.wait_for_device)


def test_mutant_without_restoring_fails_the_next_empty_cache(
    cuda: FakeCuda, capture: CudaCapture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(CudaCapture, "_restore_allocator", lambda *_: None)
    with pytest.raises(RuntimeError):
        capture(cuda.wait_for_device)
    with pytest.raises(AssertionError, match="captures_underway"):
        cuda.empty_cache()


@pytest.mark.parametrize(("free_bytes", "times"), [(capture_module.MIN_FREE_BYTES, 0), (1 << 20, 1)])
def test_cached_memory_is_released_before_a_capture_on_a_small_card(
    free_bytes: int, times: int, cuda: FakeCuda, capture: CudaCapture
) -> None:
    cuda.free_bytes = free_bytes
    capture(lambda: None)
    assert cuda.emptied == times
