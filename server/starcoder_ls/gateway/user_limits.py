"""How much one user may ask for: a token bucket of requests, and requests at the same time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from starcoder_ls.http_api.http_errors import HttpError

_BURST_S = 10.0
_MAX_USERS = 100_000


@dataclass(slots=True)
class _Usage:
    tokens: float
    updated_s: float
    running: int = 0


@dataclass(slots=True)
class UserLimits:
    """``clock`` gives seconds. A user may use ten seconds' worth of requests at once."""

    requests_per_minute: int
    concurrent_requests: int
    clock: Callable[[], float] = time.monotonic
    _usage: dict[str, _Usage] = field(default_factory=dict)

    @contextmanager
    def admit(self, user: str) -> Iterator[None]:
        """Hold a place for one request of ``user``. Raises HttpError (429) with the time to wait."""
        usage = self._refilled(user)
        if usage.running >= self.concurrent_requests:
            raise _too_many(f"{usage.running} requests of yours are running", 1.0)
        if usage.tokens < 1:
            wait_s = (1 - usage.tokens) * 60 / self.requests_per_minute
            raise _too_many(f"the limit is {self.requests_per_minute} requests a minute", wait_s)
        usage.tokens -= 1
        usage.running += 1
        try:
            yield
        finally:
            usage.running -= 1

    def _refilled(self, user: str) -> _Usage:
        capacity = max(1.0, self.requests_per_minute * _BURST_S / 60)
        now_s = self.clock()
        usage = self._usage.get(user)
        if usage is None:
            if len(self._usage) >= _MAX_USERS:
                self._usage = {name: used for name, used in self._usage.items() if used.running}
            usage = self._usage[user] = _Usage(capacity, now_s)
        usage.tokens = min(capacity, usage.tokens + (now_s - usage.updated_s) * self.requests_per_minute / 60)
        usage.updated_s = now_s
        return usage


def _too_many(reason: str, wait_s: float) -> HttpError:
    return HttpError(429, f"Too many requests: {reason}.", {"Retry-After": str(max(1, round(wait_s)))})
