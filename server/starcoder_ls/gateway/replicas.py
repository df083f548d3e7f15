"""The replicas of the serving engine: which can be used, how much each works on, and connections to them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field

import httpx2

from starcoder_ls.gateway.hash_ring import HashRing

logger = logging.getLogger(__name__)

HEALTH = "/health"
_CONNECT_TIMEOUT_S = 2.0


@dataclass(slots=True)
class Replica:
    """``load`` is the number of requests that it works on. A new one is used before its first health check.

    ``is_slow``: it is not healthy because an answer did not come in time, which can also be this process that was late.
    """

    url: str
    client: httpx2.AsyncClient = field(repr=False)
    load: int = 0
    is_healthy: bool = True
    is_slow: bool = False

    @contextmanager
    def busy(self) -> Iterator[None]:
        self.load += 1
        try:
            yield
        finally:
            self.load -= 1

    def mark_failed(self, error: Exception) -> None:
        """A connection failed with ``error``, or an answer did not come in time."""
        self.mark(False, type(error).__name__)
        self.is_slow = isinstance(error, TimeoutError | httpx2.TimeoutException)

    def mark(self, is_healthy: bool, reason: str = "") -> None:
        """Log and keep a change of the state."""
        self.is_slow = False
        if is_healthy != self.is_healthy:
            self.is_healthy = is_healthy
            logger.warning("%s %s", self.url, "can be used again" if is_healthy else f"is not used: {reason}")


class Replicas:
    """Used on one event loop. ``token`` is what replicas ask for, or empty."""

    def __init__(self, urls: Sequence[str], token: str, load_factor: float, answer_timeout_s: float) -> None:
        self._token, self._load_factor, self._timeout_s = token, load_factor, answer_timeout_s
        self._replicas: dict[str, Replica] = {}
        self._ring = HashRing(())
        self.update(urls)

    def __iter__(self) -> Iterator[Replica]:
        return iter(tuple(self._replicas.values()))

    def update(self, urls: Sequence[str]) -> None:
        """Use these replicas from now on. Requests that run on a removed one are completed."""
        self._replicas = {url: self._replicas.get(url) or Replica(url, self._open_client(url)) for url in urls}
        self._ring = HashRing(urls)

    def candidates(self, key: str) -> list[Replica]:
        """The replicas to ask for ``key``, the best first; none if none can be used.

        If none is healthy, those that are slow are used: where all are late at once, the cause is this machine, and
        clients wait only as long as they like.
        """
        usable = [replica for replica in self if replica.is_healthy] or [replica for replica in self if replica.is_slow]
        loads = {replica.url: replica.load for replica in usable}
        return [self._replicas[name] for name in self._ring.choose(key, loads.get, self._load_factor)]

    async def check_health(self, interval_s: float) -> None:
        """Ask each replica every ``interval_s`` whether it works, until it is cancelled."""
        while True:
            await asyncio.gather(*(self._check(replica, interval_s) for replica in self))
            await asyncio.sleep(interval_s)

    async def close(self) -> None:
        await asyncio.gather(*(replica.client.aclose() for replica in self))

    async def _check(self, replica: Replica, timeout_s: float) -> None:
        try:
            response = await asyncio.wait_for(replica.client.get(HEALTH), max(timeout_s, _CONNECT_TIMEOUT_S))
        except Exception as error:  # noqa: BLE001  the other replicas are checked further
            replica.mark_failed(error)
        else:
            replica.mark(response.status_code == httpx2.codes.OK, f"its health is {response.status_code}")

    def _open_client(self, url: str) -> httpx2.AsyncClient:
        headers = {"accept-encoding": "identity"}  # answers are passed on as they arrive, and their tokens are counted
        if self._token:
            headers["authorization"] = f"Bearer {self._token}"
        return httpx2.AsyncClient(
            base_url=url,
            headers=headers,
            timeout=httpx2.Timeout(self._timeout_s, connect=_CONNECT_TIMEOUT_S),
            limits=httpx2.Limits(max_connections=None, max_keepalive_connections=64, keepalive_expiry=30.0),
            follow_redirects=False,
            trust_env=False,
        )


@asynccontextmanager
async def checked_replicas(replicas: Replicas, interval_s: float) -> AsyncIterator[None]:
    """Health checks run inside; the connections are closed at the end."""
    checking = asyncio.create_task(replicas.check_health(interval_s))
    try:
        yield
    finally:
        checking.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await checking
        await replicas.close()
