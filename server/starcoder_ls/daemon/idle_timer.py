"""When a daemon without windows is no longer needed."""

from __future__ import annotations

import time
from collections.abc import Callable


class IdleTimer:
    """Measures for how long the daemon has had no client."""

    def __init__(self, idle_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._idle_s, self._clock = idle_s, clock
        self._last_use_s = clock()

    def is_expired(self, has_clients: bool) -> bool:
        if has_clients:
            self.restart()
        return self._clock() - self._last_use_s > self._idle_s

    def restart(self) -> None:
        self._last_use_s = self._clock()
