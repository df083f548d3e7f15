"""Keeps the C heap of a process that runs for days small: what the allocator may keep, and when it is returned.

Memory in use does not grow, but gaps between allocations do: large tensors, messages and documents of varying sizes are
allocated and freed between small objects that stay, by a dozen threads. docs/performance-log.md has measurements.
"""

from __future__ import annotations

import ctypes
import os
import sys
import time
from collections.abc import Callable

TRIM_INTERVAL_S, MAX_TRIM_INTERVAL_S = 60.0, 120.0
QUIET_S = 0.05
"""Trimming 60 MB takes 4 ms of a core, for which a request should not wait."""

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
"""Options of glibc's ``mallopt``."""

MMAP_THRESHOLD_BYTES = 1024 * 1024
"""Larger allocations get pages of their own, which go back to the system when they are freed. By default glibc raises
this limit up to 32 MB, to the largest size that was freed."""

TRIM_THRESHOLD_BYTES = 8 * 1024 * 1024
"""Unused memory at the end of the heap that is kept. A fixed limit above turns glibc's default off, which would be
twice that limit, and leaves 128 KB, for which the heap would shrink and grow with each request."""

MAX_ARENAS = 2
"""Heaps that threads share; glibc's default is eight for each core. Most threads allocate while they hold the GIL."""

Mallopt = Callable[[int, int], int]


def limit_fragmentation(mallopt: Mallopt | None = None) -> None:
    """Set the limits above for this process; call it before threads are started. Only glibc has the function.

    A limit that the user has set in the environment stays.
    """
    if mallopt is None and (mallopt := _find_mallopt()) is None:
        return
    tunables = os.environ.get("GLIBC_TUNABLES", "")
    for name, option, value in (
        ("mmap_threshold", _M_MMAP_THRESHOLD, MMAP_THRESHOLD_BYTES),
        ("trim_threshold", _M_TRIM_THRESHOLD, TRIM_THRESHOLD_BYTES),
        ("arena_max", _M_ARENA_MAX, MAX_ARENAS),
    ):
        variables = (f"MALLOC_{name.upper()}_", f"MALLOC_{name.upper()}")
        if not any(variable in os.environ for variable in variables) and f"glibc.malloc.{name}" not in tunables:
            mallopt(option, value)


def _find_mallopt() -> Mallopt | None:
    if sys.platform != "linux":
        return None
    try:
        return ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # musl
        return None


def trim_heap() -> None:
    """Return unused pages of the heap to the system. Only glibc has a function for it."""
    if sys.platform != "linux":
        return
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (OSError, AttributeError):  # musl
        return


class HeapTrimmer:
    """Trims the heap of a thread that works with pauses, at most once in ``TRIM_INTERVAL_S``.

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
        if elapsed_s >= MAX_TRIM_INTERVAL_S or (elapsed_s >= TRIM_INTERVAL_S and stays_quiet(QUIET_S)):
            self._trim()
            self._trimmed_s = self._clock()
