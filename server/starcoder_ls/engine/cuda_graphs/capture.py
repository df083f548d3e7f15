"""Captures a function over tensors at fixed addresses as a CUDA graph, which does the same again without Python.

Decides how often the function runs before the capture, and which operations it must not contain.
"""

from __future__ import annotations

import gc
import warnings
import weakref
from collections.abc import Callable
from typing import Any, Protocol

import torch

from starcoder_ls.errors import DeviceFailed

WARMUP_RUNS = 3
"""As in PyTorch's documentation of CUDA graphs: libraries initialize themselves lazily, choose kernels and allocate
workspaces, none of which a graph can contain."""

MIN_FREE_BYTES = 2 << 30
"""With less free memory, what the warm-up has cached is returned to the device before the capture, which cannot use it:
a graph allocates from a pool of its own."""


class CapturedGraph(Protocol):
    """The operations of a captured function."""

    def replay(self) -> None: ...


class Capture(Protocol):
    """Runs a function, captures it and returns the graph. Raises any exception that prevents the capture."""

    def __call__(self, function: Callable[[], None]) -> CapturedGraph: ...


class CudaCapture:
    """Captures CUDA graphs into one memory pool: they run one after the other, and their results are copied at once."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._pool: Any = None
        self._live_graphs: weakref.WeakSet[_Graph] = weakref.WeakSet()
        self._failed_captures: list[torch.cuda.CUDAGraph] = []

    def __call__(self, function: Callable[[], None]) -> CapturedGraph:
        """Raises DeviceFailed if the device no longer works afterwards, and the error of the capture otherwise."""
        if not self._live_graphs:
            self._pool = torch.cuda.graph_pool_handle()  # a pool whose last graph was deleted cannot be used again
        current_stream = torch.cuda.current_stream(self._device)
        self._stream.wait_stream(current_stream)
        try:
            with torch.cuda.stream(self._stream), torch.inference_mode():
                self._warm_up(function)
                graph = self._capture(function)
        except Exception as error:
            self._require_device(error)
            raise
        current_stream.wait_stream(self._stream)
        self._live_graphs.add(graph)
        return graph

    def _warm_up(self, function: Callable[[], None]) -> None:
        """Run ``function``, and raise a RuntimeError if it waits for the device; within a capture that does harm."""
        function()
        before = torch.cuda.get_sync_debug_mode()
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Synchronization debug mode", UserWarning)  # "is a prototype feature"
            torch.cuda.set_sync_debug_mode("error")
        try:
            for _ in range(WARMUP_RUNS - 1):
                function()
        finally:
            torch.cuda.set_sync_debug_mode(before)
        self._stream.synchronize()
        if torch.cuda.mem_get_info(self._device)[0] < MIN_FREE_BYTES:
            torch.cuda.empty_cache()

    def _capture(self, function: Callable[[], None]) -> _Graph:
        """Raises DeviceFailed, and what ``function`` raises or what makes the capture invalid."""
        graph = torch.cuda.CUDAGraph()
        is_collecting = gc.isenabled()
        gc.disable()  # it could destroy another graph, which invalidates the capture
        is_complete = False
        try:
            # "thread_local": other threads may ask the device for its free memory without invalidating the capture.
            graph.capture_begin(pool=self._pool, capture_error_mode="thread_local")
            try:
                function()
            finally:
                graph.capture_end()  # raises if the capture has become invalid
                is_complete = True
        finally:
            if not is_complete:
                self._restore_allocator(graph)
            if is_collecting:
                gc.enable()
        return _Graph(graph)

    def _restore_allocator(self, failed: torch.cuda.CUDAGraph) -> None:
        """Let torch's allocator leave the pool of a capture that could not be ended. Raises DeviceFailed.

        ``capture_end`` raises before it does so, and ``reset`` releases the pool of complete captures only
        (aten/src/ATen/cuda/CUDAGraph.cpp). An allocator that is still in the pool fails an assertion in the next
        ``empty_cache``. The two functions are those that ``torch.cuda.use_mem_pool`` calls.
        """
        self._failed_captures.append(failed)  # the allocator of pinned memory goes on calling a filter of this graph
        device_index = torch.cuda.current_device() if self._device.index is None else self._device.index
        try:
            torch._C._cuda_endAllocateToPool(device_index, self._pool)
        except RuntimeError:
            return  # "not currently recording": the allocator had left the pool, and `reset` releases it
        except (AttributeError, TypeError) as error:
            raise _allocator_failed(error) from error
        try:
            torch._C._cuda_releasePool(device_index, self._pool)
        except (AttributeError, TypeError, RuntimeError) as error:
            raise _allocator_failed(error) from error

    def _require_device(self, error: Exception) -> None:
        """Raise DeviceFailed if the device itself has failed and not the capture only."""
        try:
            torch.cuda.synchronize(self._device)
        except RuntimeError as failure:
            raise DeviceFailed(
                f"The device has failed ({type(error).__name__}). The model is being reloaded; repeat the request."
            ) from failure


def _allocator_failed(error: Exception) -> DeviceFailed:
    return DeviceFailed(
        "A CUDA graph could not be captured, and torch's memory allocator could not be restored "
        f"({type(error).__name__}). The model is being reloaded; if this repeats, set `model.cuda_graphs` to off."
    )


class _Graph:
    def __init__(self, graph: torch.cuda.CUDAGraph) -> None:
        self._graph = graph

    def replay(self) -> None:
        self._graph.replay()
