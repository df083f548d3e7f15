from __future__ import annotations

import gc
import subprocess
import sys
import weakref

import pytest
import torch

from starcoder_ls.engine.memory import gc_frozen, is_out_of_memory, release_memory


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:124] DefaultCPUAllocator: can't allocate memory: you tried ..."),
        OSError("[Errno 12] Cannot allocate memory"),
    ],
)
def test_is_out_of_memory_recognizes_every_kind_of_error(error: Exception) -> None:
    assert is_out_of_memory(error)


@pytest.mark.parametrize("error", [RuntimeError("size mismatch"), ValueError("can't allocate memory"), KeyError("x")])
def test_is_out_of_memory_rejects_other_errors(error: Exception) -> None:
    assert not is_out_of_memory(error)


def test_is_out_of_memory_recognizes_a_real_failed_allocation() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**60, dtype=torch.uint8)
    assert is_out_of_memory(caught.value)


def test_release_memory_frees_unreferenced_objects() -> None:
    class Weights:
        def __init__(self) -> None:
            self.itself = self

    gone = weakref.ref(Weights())
    release_memory()
    assert gone() is None


def test_frozen_objects_are_collected_only_by_release_memory() -> None:
    class Library:
        def __init__(self) -> None:
            self.itself = self

    with gc_frozen():
        assert not gc.isenabled()
        gone = weakref.ref(Library())
    assert gc.isenabled()
    gc.collect()
    assert gone() is not None
    release_memory()
    assert gone() is None


def test_gc_frozen_enables_the_collector_again_after_an_error() -> None:
    with pytest.raises(ImportError), gc_frozen():
        raise ImportError
    assert gc.isenabled()


def test_frozen_objects_are_destroyed_when_the_process_ends() -> None:
    program = """
from starcoder_ls.engine.memory import gc_frozen

class Library:
    def __init__(self):
        self.itself = self

    def __del__(self, write=print):
        write("destroyed")

with gc_frozen():
    library = Library()
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ended.stdout == "destroyed\n"
