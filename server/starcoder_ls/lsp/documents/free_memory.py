"""Returns the memory of closed documents to the system."""

from __future__ import annotations

from collections.abc import Callable

from starcoder_ls.heap import trim_heap

TRIM_AFTER_BYTES = 16 * 1024 * 1024
"""Trimming takes milliseconds, so it is done for much memory at once."""


class FreedMemory:
    """Counts the bytes that closed documents have freed, and calls ``trim`` when they are many."""

    def __init__(self, trim: Callable[[], None] = trim_heap) -> None:
        self._trim = trim
        self._freed_bytes = 0

    def add(self, freed_bytes: int) -> None:
        self._freed_bytes += freed_bytes
        if self._freed_bytes >= TRIM_AFTER_BYTES:
            self._freed_bytes = 0
            self._trim()
