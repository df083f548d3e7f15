"""A timer of the operating system that ends the process with an exit code.

It needs no Python: neither a thread that holds the GIL, nor a machine that is too busy to start a Python thread, can
delay it or change the exit code.
"""

from __future__ import annotations

import ctypes
import sys
from typing import Any

_CLOCK_MONOTONIC, _SIGEV_THREAD = 1, 2
_MIN_DELAY_S = 0.001
"""A delay of 0 would disarm the timer."""


class _Event(ctypes.Structure):
    """``struct sigevent`` of glibc and musl on 64-bit systems."""

    _fields_ = (
        ("value", ctypes.c_void_p),
        ("signal", ctypes.c_int),
        ("notify", ctypes.c_int),
        ("function", ctypes.c_void_p),
        ("attributes", ctypes.c_void_p),
        ("padding", ctypes.c_char * 32),
    )


class _Delay(ctypes.Structure):
    """``struct itimerspec`` with seconds and nanoseconds of the interval and of the first expiry."""

    _fields_ = tuple((name, ctypes.c_long) for name in ("interval_s", "interval_ns", "first_s", "first_ns"))


class ExitTimer:
    """Ends the process with ``exit_code`` after ``delay_s``, unless it is cancelled. Raises OSError where the system
    has no such timer (other than Linux on 64 bits), or no more of them."""

    def __init__(self, exit_code: int, delay_s: float) -> None:
        self._library, self._timer = _library(), ctypes.c_void_p()
        # When the timer expires, the C library starts a thread that calls `_exit` with the value of the event.
        function = ctypes.cast(self._library._exit, ctypes.c_void_p)
        event = _Event(value=exit_code, notify=_SIGEV_THREAD, function=function)
        delay_ns = int(max(delay_s, _MIN_DELAY_S) * 1e9)
        delay = _Delay(first_s=delay_ns // 10**9, first_ns=delay_ns % 10**9)
        if self._library.timer_create(_CLOCK_MONOTONIC, ctypes.byref(event), ctypes.byref(self._timer)):
            raise OSError(ctypes.get_errno(), "timer_create failed")
        if self._library.timer_settime(self._timer, 0, ctypes.byref(delay), None):
            raise OSError(ctypes.get_errno(), "timer_settime failed")

    def cancel(self) -> None:
        self._library.timer_delete(self._timer)


def _library() -> Any:
    """The C library with the functions of timers. Raises OSError."""
    if sys.platform != "linux" or ctypes.sizeof(ctypes.c_void_p) != 8:
        raise OSError("no timer of this system ends a process")
    library = ctypes.CDLL(None, use_errno=True)
    if not hasattr(library, "timer_create"):  # glibc before 2.34 has it in another library
        library = ctypes.CDLL("librt.so.1", use_errno=True)
    return library
