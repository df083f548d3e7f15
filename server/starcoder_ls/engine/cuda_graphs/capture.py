"""What turns a function over tensors at fixed addresses into something that does the same again, without Python.

Decides how often it runs before that, and what must not be in it. Refuses to know what it computes.
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
"""PyTorch's own number: libraries begin lazily, pick kernels and take their workspaces, none of which a graph holds."""


class CapturedGraph(Protocol):
    """What was recorded."""

    def replay(self) -> None: ...


class Capture(Protocol):
    """Runs a function, records it, and answers the recording. Raises whatever keeps it from being recorded."""

    def __call__(self, function: Callable[[], None]) -> CapturedGraph: ...


class CudaCapture:
    """CUDA graphs, all in one memory pool: they run one after the other, and what they leave is copied at once."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._pool: Any = None
        self._alive: weakref.WeakSet[_Graph] = weakref.WeakSet()

    def __call__(self, function: Callable[[], None]) -> CapturedGraph:
        if not self._alive:
            self._pool = torch.cuda.graph_pool_handle()  # one whose last graph is gone cannot be used again
        ours = torch.cuda.current_stream(self._device)
        self._stream.wait_stream(ours)
        try:
            with torch.cuda.stream(self._stream), torch.inference_mode():
                self._warm_up(function)
                recording = self._recorded(function)
        except Exception as error:
            self._require_device(error)
            raise
        ours.wait_stream(self._stream)
        self._alive.add(recording)
        return recording

    def _warm_up(self, function: Callable[[], None]) -> None:
        """What would wait for the device is refused here, by a plain error: inside a capture it spoils more."""
        function()
        before = torch.cuda.get_sync_debug_mode()
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Synchronization debug mode", UserWarning)  # a prototype, it says
            torch.cuda.set_sync_debug_mode("error")
        try:
            for _ in range(WARMUP_RUNS - 1):
                function()
        finally:
            torch.cuda.set_sync_debug_mode(before)
        self._stream.synchronize()

    def _recorded(self, function: Callable[[], None]) -> _Graph:
        graph = torch.cuda.CUDAGraph()
        is_collecting = gc.isenabled()
        gc.disable()  # what it would find may be another graph, and to destroy one spoils the capture
        try:
            # Other threads may ask the device how much memory it has: their calls do not spoil ours.
            graph.capture_begin(pool=self._pool, capture_error_mode="thread_local")
            try:
                function()
            finally:
                graph.capture_end()  # raises by itself where the capture was spoilt
        finally:
            if is_collecting:
                gc.enable()
        return _Graph(graph)

    def _require_device(self, error: Exception) -> None:
        """Raise DeviceFailed where it was not the capture alone that failed."""
        try:
            torch.cuda.synchronize(self._device)
        except RuntimeError as failure:
            raise DeviceFailed(
                f"The device has failed ({type(error).__name__}). The model is loaded again; ask once more."
            ) from failure


class _Graph:
    def __init__(self, graph: torch.cuda.CUDAGraph) -> None:
        self._graph = graph

    def replay(self) -> None:
        self._graph.replay()
