"""Returns unused memory of the C heap to the system, which the allocator would keep for later."""

from __future__ import annotations

import ctypes
import sys
import time
from collections.abc import Callable

TRIM_INTERVAL_S, MAX_TRIM_INTERVAL_S = 60.0, 120.0
QUIET_S = 0.05
"""Trimming 60 MB takes 4 ms of a core, for which a request should not wait."""


def trim_heap() -> None:
    """Return unused pages of the heap to the system. Only glibc has a function for it."""
    if sys.platform != "linux":
        return
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (OSError, AttributeError):  # musl
        return


class HeapTrimmer:
    """Trims the heap of a thread that works with pauses, the last one too. At most once in ``TRIM_INTERVAL_S``, because
    the first work after it takes some milliseconds more.

    The tensors of a model have sizes that vary with each prompt, and glibc takes those below 32 MB from its heap once
    it has freed one of that size. The gaps between them hold a little more at each rare peak.
    """

    def __init__(self, trim: Callable[[], None] = trim_heap, clock: Callable[[], float] = time.monotonic) -> None:
        self._trim, self._clock = trim, clock
        self._trimmed_s = clock()

    def trim_if_due(self, stays_quiet: Callable[[float], bool]) -> None:
        """Call it between two pieces of work; ``stays_quiet`` returns whether no work arrives for so many seconds.

        After ``MAX_TRIM_INTERVAL_S`` without a pause work waits once.
        """
        elapsed_s = self._clock() - self._trimmed_s
        if elapsed_s >= MAX_TRIM_INTERVAL_S or stays_quiet(max(QUIET_S, TRIM_INTERVAL_S - elapsed_s)):
            self._trim()
            self._trimmed_s = self._clock()
