"""Decides whether a window starts the next daemon by itself, and when it tries again after several have failed.

After MAX_FAILURES in a row, requests of the editor are answered with an error. A user's request starts a daemon at
once, an automatic one after a delay that grows.
"""

from __future__ import annotations

import time
from collections.abc import Callable

MAX_FAILURES, STABLE_AFTER_S = 4, 300.0
"""After so many daemons in a row that ended within this time, no more are started. A large model may load for minutes
before it fails."""

RETRY_DELAY_S, MAX_RETRY_DELAY_S = 30.0, 600.0
"""Time until an automatic request starts a daemon again, doubled each time. A user's request does so at once."""

TOO_MANY_FAILURES = (
    f"The model's process has ended {MAX_FAILURES} times in a row; `starcoder-ls logs` may say why. "
    "Ask for a suggestion by hand or run a command to start it again."
)


class RestartPolicy:
    """Not thread-safe: the owner holds a lock. ``unavailable_text`` is empty while daemons may be started."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failures = 0
        self._retry_delay_s, self._retry_at_s = RETRY_DELAY_S, 0.0
        self._last_text = ""
        self.unavailable_text = ""

    def record_failure(self, lifetime_s: float, is_cause_removed: bool) -> bool:
        """A daemon has ended unexpectedly. Whether no more shall be started automatically.

        ``is_cause_removed``: the next one should not fail for the same reason.
        """
        if lifetime_s > STABLE_AFTER_S or is_cause_removed:
            self._failures, self._retry_delay_s, self._last_text = 0, RETRY_DELAY_S, ""
        self._failures += 1
        return self._failures >= MAX_FAILURES

    def stop(self, error_text: str) -> bool:
        """Start no more daemons for now because of ``error_text``. Whether the user has not been shown that text."""
        self.unavailable_text = error_text
        self._retry_at_s = self._clock() + self._retry_delay_s
        self._retry_delay_s = min(self._retry_delay_s * 2, MAX_RETRY_DELAY_S)
        is_new, self._last_text = error_text != self._last_text, error_text
        return is_new

    def allow_if_due(self, is_user_request: bool) -> bool:
        """Whether a request that has just arrived starts a daemon; until the next failure all do then."""
        if is_user_request or self._clock() > self._retry_at_s:
            self.unavailable_text = ""
        return not self.unavailable_text
