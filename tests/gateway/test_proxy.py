"""One request through the gateway, with a replica whose whole answer has arrived at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, MutableMapping
from typing import Any

import httpx2

from starcoder_ls.gateway.metrics import Metrics
from starcoder_ls.gateway.proxy import ProxiedRequest
from starcoder_ls.gateway.replicas import Replica

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
