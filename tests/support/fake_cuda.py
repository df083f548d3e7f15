"""A CUDA device for ``CudaCapture`` on a CPU: streams that only count, and the states of captures and of their memory.

The states follow aten/src/ATen/cuda/CUDAGraph.cpp and c10/cuda/CUDACachingAllocator.cpp: a capture that has become
invalid leaves the allocator in the pool of its graph.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
import torch

Pool = tuple[int, int]


class FakeCuda:
    """Install it with ``install``. ``free_bytes`` is the device's free memory, ``emptied`` counts ``empty_cache``."""

    def __init__(self) -> None:
        self.recording: list[Pool] = []
        self.references: Counter[Pool] = Counter()
        self.is_capturing = self.is_invalid = False
        self.free_bytes, self.emptied, self.pools = 1 << 40, 0, 0

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        fakes: dict[str, Any] = {
            "CUDAGraph": lambda: FakeGraph(self), "Stream": lambda *_: _FakeStream(), "stream": _in_stream,
            "current_stream": lambda *_: _FakeStream(), "current_device": lambda: 0, "synchronize": lambda *_: None,
            "graph_pool_handle": self._new_pool, "mem_get_info": lambda *_: (self.free_bytes, 1 << 41),
            "get_sync_debug_mode": lambda: 0, "set_sync_debug_mode": lambda _mode: None,
            "empty_cache": self.empty_cache, "is_current_stream_capturing": lambda: self.is_capturing,
        }  # fmt: skip
        for name, fake in fakes.items():
            monkeypatch.setattr(torch.cuda, name, fake)
        monkeypatch.setattr(torch._C, "_cuda_endAllocateToPool", self.end_allocate_to_pool, raising=False)
        monkeypatch.setattr(torch._C, "_cuda_releasePool", self.release_pool, raising=False)

    def wait_for_device(self) -> None:
        """What an operation that waits does: inside a capture it fails, and the capture becomes invalid."""
        if self.is_capturing:
            self.is_invalid = True
            raise RuntimeError("CUDA error: operation not permitted when stream is capturing")

    def empty_cache(self) -> None:
        if self.recording:
            raise AssertionError("INTERNAL ASSERT FAILED: captures_underway.empty()")
        self.emptied += 1

    def end_allocate_to_pool(self, _device: int, pool: Pool) -> None:
        if pool not in self.recording:
            raise RuntimeError("endAllocatePool: not currently recording to mempool_id")
        self.recording.remove(pool)

    def release_pool(self, _device: int, pool: Pool) -> None:
        self.references[pool] -= 1
        assert self.references[pool] >= 0, "released more often than taken"

    def _new_pool(self) -> Pool:
        self.pools += 1
        return (0, self.pools)


class FakeGraph:
    """``torch.cuda.CUDAGraph``; a replay does nothing."""

    def __init__(self, cuda: FakeCuda) -> None:
        self._cuda = cuda
        self._pool: Pool = (0, 0)

    def capture_begin(self, pool: Pool, capture_error_mode: str) -> None:
        assert capture_error_mode == "thread_local"
        self._pool = pool
        self._cuda.recording.append(pool)
        self._cuda.references[pool] += 1
        self._cuda.is_capturing, self._cuda.is_invalid = True, False

    def capture_end(self) -> None:
        self._cuda.is_capturing = False
        if self._cuda.is_invalid:
            raise RuntimeError("CUDA error: operation failed due to a previous error during capture")
        self._cuda.end_allocate_to_pool(0, self._pool)

    def replay(self) -> None: ...


class _FakeStream:
    def wait_stream(self, _other: Any) -> None: ...

    def synchronize(self) -> None: ...


@contextlib.contextmanager
def _in_stream(_stream: _FakeStream) -> Iterator[None]:
    yield
