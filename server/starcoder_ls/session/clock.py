"""Time, timers and threads behind an interface, so that tests can control them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Protocol


class Clock(Protocol):
    """What the engine supervisor needs of the system."""

    def monotonic(self) -> float:
        """Seconds since an arbitrary start."""
        ...

    def call_later(self, delay_s: float, callback: Callable[[], None]) -> None:
        """Call ``callback`` in another thread after ``delay_s`` seconds."""
        ...

    def start_thread(self, name: str, run: Callable[[], None]) -> None: ...


class SystemClock:
    """Real time and daemon threads."""

    def monotonic(self) -> float:
        return time.monotonic()

    def call_later(self, delay_s: float, callback: Callable[[], None]) -> None:
        timer = threading.Timer(delay_s, callback)
        timer.daemon = True
        timer.start()

    def start_thread(self, name: str, run: Callable[[], None]) -> None:
        threading.Thread(target=run, name=name, daemon=True).start()
