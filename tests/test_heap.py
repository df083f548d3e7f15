from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable

import pytest

from starcoder_ls.heap import MAX_TRIM_INTERVAL_S, TRIM_INTERVAL_S, HeapTrimmer, trim_heap


def test_trimming_is_harmless_on_every_system(monkeypatch: pytest.MonkeyPatch) -> None:
    trim_heap()
    monkeypatch.setattr(ctypes, "CDLL", lambda _name: object())  # a C library without the function
    trim_heap()
    monkeypatch.setattr(sys, "platform", "darwin")
    trim_heap()


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def counted_trimmer() -> tuple[HeapTrimmer, Clock, list[float]]:
    clock, trims = Clock(), list[float]()
    return HeapTrimmer(lambda: trims.append(clock.now_s), clock), clock, trims


def quiet(seconds: float) -> Callable[[float], bool]:
    """Nothing arrives for ``seconds``."""
    return lambda length_s: length_s <= seconds


def test_heap_is_trimmed_in_pauses_and_once_per_interval() -> None:
    trimmer, clock, trims = counted_trimmer()
    for _ in range(300):  # one second each
        trimmer.trim_if_due(quiet(0.5))
        clock.now_s += 1
    assert trims == [1000 + TRIM_INTERVAL_S * number for number in (1, 2, 3, 4)]


def test_trimming_waits_for_a_pause_but_not_for_ever() -> None:
    trimmer, clock, trims = counted_trimmer()
    clock.now_s += TRIM_INTERVAL_S
    trimmer.trim_if_due(quiet(0.0))
    assert trims == []
    clock.now_s = 1000 + MAX_TRIM_INTERVAL_S
    trimmer.trim_if_due(quiet(0.0))
    assert trims == [clock.now_s]


def test_idle_process_is_trimmed_when_the_interval_has_passed() -> None:
    trimmer, clock, trims = counted_trimmer()
    clock.now_s += 1
    trimmer.trim_if_due(quiet(TRIM_INTERVAL_S - 2))
    assert trims == []
    trimmer.trim_if_due(quiet(TRIM_INTERVAL_S - 1))
    assert trims == [clock.now_s]
