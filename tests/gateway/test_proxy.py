"""One request through the gateway, with a replica whose whole answer has arrived at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, MutableMapping
from typing import Any

import httpx2
import pytest

from starcoder_ls.gateway.metrics import Metrics
from starcoder_ls.gateway.proxy import ProxiedRequest
from starcoder_ls.gateway.replicas import Replica
from starcoder_ls.http_api.http_errors import HttpError

PARTS, READ_PARTS = 64, 3


class Burst(httpx2.AsyncByteStream):
    async def __aiter__(self) -> AsyncIterator[bytes]:
        for _ in range(PARTS):
            yield b"data: {}\n\n"


async def send_parts(read_parts: int) -> tuple[int, Metrics]:
    """How many parts are sent to a client that leaves after ``read_parts``."""
    transport = httpx2.MockTransport(lambda _: httpx2.Response(200, stream=Burst()))
    has_left, sent, metrics = asyncio.Event(), 0, Metrics()

    async def receive() -> MutableMapping[str, Any]:
        await has_left.wait()
        return {"type": "http.disconnect"}

    async def send(message: MutableMapping[str, Any]) -> None:
        nonlocal sent
        sent += bool(message.get("body"))
        if sent == read_parts:
            has_left.set()

    async with httpx2.AsyncClient(transport=transport, base_url="http://replica") as client:
        request = ProxiedRequest([Replica("http://replica", client)], "/v1/completions", b"{}", "session", 1, metrics)
        await request({}, receive, send)
    return sent, metrics


def test_client_that_leaves_within_a_burst_gets_no_more() -> None:
    sent, metrics = asyncio.run(send_parts(READ_PARTS))
    assert READ_PARTS <= sent < 2 * READ_PARTS
    assert b"gateway_aborted_total 1.0" in metrics.text()


def test_client_that_stays_gets_the_whole_burst() -> None:
    assert asyncio.run(send_parts(PARTS + 1))[0] == PARTS


async def answer_to(respond: Callable[[httpx2.Request], httpx2.Response]) -> list[MutableMapping[str, Any]]:
    """The messages that a client gets whose request a replica answers with ``respond``. Raises HttpError."""
    sent: list[MutableMapping[str, Any]] = []

    async def receive() -> MutableMapping[str, Any]:
        await asyncio.Event().wait()
        return {}

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    async with httpx2.AsyncClient(transport=httpx2.MockTransport(respond), base_url="http://replica") as client:
        replica = Replica("http://replica", client)
        await ProxiedRequest([replica], "/v1/completions", b"{}", "session", 1, Metrics())({}, receive, send)
    return sent


def test_late_answer_is_not_generated_once_more() -> None:
    requests = []

    def respond(request: httpx2.Request) -> httpx2.Response:
        requests.append(request)
        raise httpx2.ReadTimeout("late")

    with pytest.raises(HttpError, match="did not come in time") as raised:
        asyncio.run(answer_to(respond))
    assert (raised.value.status, len(requests)) == (504, 1)


def test_retry_after_of_a_replica_is_passed_on() -> None:
    start, *_ = asyncio.run(answer_to(lambda _: httpx2.Response(503, headers={"retry-after": "7"}, stream=Burst())))
    assert (start["status"], dict(start["headers"])[b"retry-after"]) == (503, b"7")
