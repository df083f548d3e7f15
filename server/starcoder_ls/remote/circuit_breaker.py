"""Decides when a server is no longer asked: after two failures in a row, until a probe succeeds.

The states are closed (requests go through), open (none does), and half-open (one request, the probe, is under way).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

MAX_FAILURES = 2
FIRST_DELAY_S, MAX_DELAY_S = 2.0, 60.0
"""How long no request is sent after the breaker opened; doubled with each probe that fails."""


class CircuitBreaker:
    """Every method may be called from any thread. ``clock`` is monotonic, in seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._failures = 0
        self._delay_s = FIRST_DELAY_S
        self._open_until_s: float | None = None
        self._is_probing = False
        self._busy_until_s = 0.0

    @property
    def is_closed(self) -> bool:
        return self._open_until_s is None

    @property
    def busy_s(self) -> float:
        """How long the server still wants no request, in seconds; 0 if it takes them."""
        return max(0.0, self._busy_until_s - self._clock())

    def try_acquire(self) -> bool:
        """Whether a request may be sent now. While the breaker is open, the first caller after the delay gets True: its
        request is the probe, and ``record_success``, ``record_failure`` or ``release`` must follow."""
        with self._lock:
            if self._open_until_s is None:
                return True
            if self._is_probing or self._clock() < self._open_until_s:
                return False
            self._is_probing = True
            return True

    def record_success(self) -> None:
        """The server has answered."""
        with self._lock:
            self._failures, self._delay_s = 0, FIRST_DELAY_S
            self._open_until_s, self._is_probing, self._busy_until_s = None, False, 0.0

    def record_failure(self) -> None:
        """The server cannot be reached, has ended an answer early, or is silent."""
        with self._lock:
            self._failures += 1
            was_probe, self._is_probing = self._is_probing, False
            if self._open_until_s is not None and not was_probe:
                return  # a request that was under way when the breaker opened
            if was_probe:
                self._delay_s = min(self._delay_s * 2, MAX_DELAY_S)
            if was_probe or self._failures >= MAX_FAILURES:
                self._open_until_s = self._clock() + self._delay_s

    def trip(self) -> None:
        """Open the breaker at once: one failure was enough."""
        with self._lock:
            if self._open_until_s is None:
                self._open_until_s = self._clock() + self._delay_s

    def release(self) -> None:
        """The request ended without telling anything about the server: it was cancelled."""
        with self._lock:
            self._is_probing = False

    def hold(self, seconds: float) -> None:
        """The server is busy and wants no request for ``seconds``; that is no failure."""
        with self._lock:
            self._is_probing = False
            self._busy_until_s = self._clock() + min(max(seconds, 0.0), MAX_DELAY_S)
