"""One request from a client to a replica and back.

Decides which replica answers, when another one is tried, and that the work ends when the client goes away.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field

import httpx2
from starlette.types import Receive, Scope, Send

from starcoder_ls.gateway.answer_tokens import AnswerTokens
from starcoder_ls.gateway.metrics import Metrics
from starcoder_ls.gateway.replicas import Replica
from starcoder_ls.http_api.disconnect import ClientGone, run_while_connected
from starcoder_ls.http_api.http_errors import HttpError

logger = logging.getLogger(__name__)

MAX_TRIES = 3
_FORWARDED_HEADERS = ("content-type", "retry-after")
_OVERLOADED = (429, 502, 503, 504)


@dataclass(slots=True)
class ProxiedRequest:
    """An ASGI application for one request. Replicas get ``session`` as `x-session-id`: one may be a router of others
    itself. ``prompt_tokens`` are counted as metrics when it is answered."""

    replicas: Sequence[Replica]
    path: str
    body: bytes
    session: str
    prompt_tokens: int
    metrics: Metrics
    arrived_s: float = field(default_factory=time.monotonic)

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        """Raises HttpError if no replica answers, before anything is sent."""
        try:
            await run_while_connected(self._answer(send), receive)
        except ClientGone:
            self.metrics.aborted.inc()
        finally:
            self.metrics.latency.labels("total").observe(time.monotonic() - self.arrived_s)

    async def _answer(self, send: Send) -> None:
        # A single replica is asked twice: a connection that it closed while it was idle breaks.
        tries = [*self.replicas, *self.replicas][:MAX_TRIES]
        for number, replica in enumerate(tries, 1):
            if number > 1:
                self.metrics.retries.inc()
            with replica.busy():
                if await self._try(replica, send, is_last=number == len(tries)):
                    return
        raise no_replica()

    async def _try(self, replica: Replica, send: Send, is_last: bool) -> bool:
        """Whether the client has been answered; not if the replica fails before its first byte."""
        headers = {"content-type": "application/json", "x-session-id": self.session}
        request = replica.client.build_request("POST", self.path, content=self.body, headers=headers)
        try:
            response = await replica.client.send(request, stream=True)
        except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
            replica.mark_failed(error)
            return False
        except httpx2.ReadTimeout as error:  # the replica still works on it: another one would do the same again
            raise HttpError(504, "The answer did not come in time. Try again in a moment.") from error
        except (httpx2.HTTPError, OSError):
            return False
        try:
            if response.status_code in _OVERLOADED and not is_last:
                return False
            parts = response.aiter_raw()
            async with aclosing(parts):
                try:
                    first = await anext(parts, b"")
                except (httpx2.HTTPError, OSError):
                    return False
                await self._send(replica, response, first, parts, send)
            return True
        finally:
            await response.aclose()

    async def _send(
        self, replica: Replica, response: httpx2.Response, first: bytes, rest: AsyncIterator[bytes], send: Send
    ) -> None:
        """Pass the answer on. If the replica fails now, the connection ends without the end of the answer, so that the
        client sees a broken answer and not a short one."""
        tokens = AnswerTokens()
        self.metrics.latency.labels("first_byte").observe(time.monotonic() - self.arrived_s)
        headers = {"content-type": "application/json"} | {
            name: response.headers[name] for name in _FORWARDED_HEADERS if name in response.headers
        }
        raw = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": response.status_code, "headers": raw})
        try:
            tokens.feed(first)
            await send({"type": "http.response.body", "body": first, "more_body": True})
            async for part in rest:
                tokens.feed(part)
                await send({"type": "http.response.body", "body": part, "more_body": True})
                await asyncio.sleep(0)  # a burst is passed on without a wait, in which the client could leave
        except (httpx2.HTTPError, OSError) as error:
            logger.warning("%s broke an answer: %s", replica.url, type(error).__name__)
            return
        finally:
            self.metrics.tokens.labels("prompt").inc(self.prompt_tokens)
            self.metrics.tokens.labels("reused").inc(tokens.reused)
            self.metrics.tokens.labels("generated").inc(tokens.generated)
        await send({"type": "http.response.body", "body": b"", "more_body": False})


def no_replica() -> HttpError:
    """The answer to a request that no replica can take."""
    return HttpError(503, "No replica can answer now. Try again in a moment.", {"Retry-After": "1"})
