from __future__ import annotations

import ctypes
import subprocess
import sys
from collections.abc import Callable

import pytest

from starcoder_ls.heap import (
    MAX_ARENAS,
    MAX_TRIM_INTERVAL_S,
    MMAP_THRESHOLD_BYTES,
    TRIM_INTERVAL_S,
    TRIM_THRESHOLD_BYTES,
    HeapTrimmer,
    limit_fragmentation,
    trim_heap,
)


def test_trimming_is_harmless_on_every_system(monkeypatch: pytest.MonkeyPatch) -> None:
    trim_heap()
    monkeypatch.setattr(ctypes, "CDLL", lambda _name: object())  # a C library without the functions
    trim_heap()
    limit_fragmentation()
    monkeypatch.setattr(sys, "platform", "darwin")
    trim_heap()
    limit_fragmentation()


LARGE_ALLOCATION_AFTER_A_LARGER_ONE = """
import ctypes
import subprocess
import sys
from starcoder_ls.heap import limit_fragmentation

class Mallinfo2(ctypes.Structure):
    names = "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost".split()
    _fields_ = [(name, ctypes.c_size_t) for name in names]

def bytes_outside_the_heap():
    return library.mallinfo2().hblkhd

library = ctypes.CDLL(None)
library.mallinfo2.restype = Mallinfo2
library.malloc.restype, library.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
if sys.argv[1] == "limited":
    limit_fragmentation()
library.free(library.malloc(16 << 20))
before = bytes_outside_the_heap()
library.malloc(4 << 20)
print(bytes_outside_the_heap() - before >= 4 << 20)
"""


@pytest.mark.skipif(sys.platform != "linux" or not hasattr(ctypes.CDLL(None), "mallinfo2"), reason="needs glibc 2.33")
@pytest.mark.parametrize(("limits", "is_outside"), [("limited", "True"), ("default", "False")])
def test_large_allocations_stay_outside_the_heap(limits: str, is_outside: str) -> None:
    command = [sys.executable, "-c", LARGE_ALLOCATION_AFTER_A_LARGER_ONE, limits]
    assert subprocess.check_output(command, text=True).strip() == is_outside


def test_limits_of_the_user_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    def limits() -> set[int]:
        values: set[int] = set()

        def mallopt(_option: int, value: int) -> int:
            values.add(value)
            return 1

        limit_fragmentation(mallopt)
        return values

    for name in ("MALLOC_ARENA_MAX", "MALLOC_TRIM_THRESHOLD_", "GLIBC_TUNABLES"):
        monkeypatch.delenv(name, raising=False)
    assert limits() == {MMAP_THRESHOLD_BYTES, TRIM_THRESHOLD_BYTES, MAX_ARENAS}
    monkeypatch.setenv("MALLOC_ARENA_MAX", "1")
    assert limits() == {MMAP_THRESHOLD_BYTES, TRIM_THRESHOLD_BYTES}
    monkeypatch.setenv("GLIBC_TUNABLES", "glibc.malloc.mmap_threshold=65536")
    assert limits() == {TRIM_THRESHOLD_BYTES}


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def counted_trimmer() -> tuple[HeapTrimmer, Clock, list[float]]:
    clock, trims = Clock(), list[float]()
    return HeapTrimmer(lambda: trims.append(clock.now_s), clock), clock, trims


def quiet(is_quiet: bool) -> Callable[[float], bool]:
    return lambda _seconds: is_quiet


def test_heap_is_trimmed_in_pauses_and_once_per_interval() -> None:
    trimmer, clock, trims = counted_trimmer()
    for _ in range(300):  # one second each
        trimmer.trim_if_due(quiet(True))
        clock.now_s += 1
    assert trims == [1000 + TRIM_INTERVAL_S * number for number in (1, 2, 3, 4)]


def test_trimming_waits_for_a_pause_but_not_for_ever() -> None:
    trimmer, clock, trims = counted_trimmer()
    clock.now_s += TRIM_INTERVAL_S
    trimmer.trim_if_due(quiet(False))
    assert trims == []
    clock.now_s = 1000 + MAX_TRIM_INTERVAL_S
    trimmer.trim_if_due(quiet(False))
    assert trims == [clock.now_s]


def test_work_does_not_wait_for_a_pause_before_trimming_is_due() -> None:
    trimmer, clock, trims = counted_trimmer()
    clock.now_s += TRIM_INTERVAL_S - 1
    trimmer.trim_if_due(lambda _seconds: pytest.fail("waited"))
    assert trims == []
