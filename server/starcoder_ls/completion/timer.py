"""One delayed call at a time, on an event loop or, in tests, on a clock that the test advances."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol


class Scheduled(Protocol):
    """A delayed call that may be cancelled."""

    def cancel(self) -> None: ...


Schedule = Callable[[float, Callable[[], None]], Scheduled]
"""Seconds and a callback -> the delayed call."""


def on_running_loop(delay_s: float, callback: Callable[[], None]) -> Scheduled:
    return asyncio.get_running_loop().call_later(delay_s, callback)


class Timer:
    """At most one delayed call; starting it again replaces the call."""

    def __init__(self, schedule: Schedule = on_running_loop) -> None:
        self._schedule = schedule
        self._scheduled: Scheduled | None = None

    def start(self, delay_s: float, callback: Callable[[], None]) -> None:
        self.cancel()
        self._scheduled = self._schedule(delay_s, callback)

    def cancel(self) -> None:
        """Does nothing after the call, or before ``start``."""
        if self._scheduled is not None:
            self._scheduled.cancel()
            self._scheduled = None
