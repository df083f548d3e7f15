from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from harness import async_test
from starcoder_ls.lsp import authentication
from starcoder_ls.lsp.authentication import MAX_FRAME_BYTES, MAX_MESSAGES, PendingClients
from starcoder_ls.lsp.framing import FrameReader, frame


class FakeStream:
    """Returns ``chunks`` one by one, then waits until it is aborted."""

    def __init__(self, *chunks: bytes) -> None:
        self.name, self.sent = "a client", list[dict[str, Any]]()
        self._chunks, self._closed = list(chunks), asyncio.Event()

    @property
    def is_closed(self) -> bool:
        return self._closed.is_set()

    async def read(self) -> bytes:
        if not self._chunks:
            await self._closed.wait()
            return b""
        return self._chunks.pop(0)

    def write(self, data: bytes) -> None:
        self.sent += map(json.loads, FrameReader().feed_data(data))

    def abort(self) -> None:
        self._closed.set()

    async def close(self) -> None:
        self._closed.set()


def frame_of(**fields: Any) -> bytes:
    return frame(json.dumps({"jsonrpc": "2.0", **fields}).encode())


def initialize(options: Any, **params: Any) -> bytes:
    return frame_of(id=1, method="initialize", params={"initializationOptions": options, **params})


@async_test
async def test_initialize_is_returned_without_the_token_and_with_what_follows() -> None:
    stream = FakeStream(initialize({"token": "right", "model": {}}) + b"Content-Le")
    received = await PendingClients("right").authenticate(stream)
    assert received is not None
    frames = FrameReader()
    (message,) = map(json.loads, frames.feed_data(received))
    assert message["params"] == {"initializationOptions": {"model": {}}}
    assert frames._buffer == b"Content-Le"
    assert not stream.is_closed


@pytest.mark.parametrize("options", [None, {}, {"token": "wrong"}, {"token": 5}, "right", [], {"token": "\ud83d"}])
@async_test
async def test_wrong_token_is_answered_and_the_connection_closed(options: Any) -> None:
    stream = FakeStream(initialize(options))
    assert await PendingClients("right").authenticate(stream) is None
    assert [answer["error"]["code"] for answer in stream.sent] == [-32600]
    assert stream.is_closed


@pytest.mark.parametrize(
    "sent",
    [
        b"Content-Length: %d\r\n\r\n" % (MAX_FRAME_BYTES + 1),
        b"GET / HTTP/1.1\r\n\r\n",
        frame(b"[" * MAX_FRAME_BYTES) * (MAX_MESSAGES + 1),
        frame(b"{}") * 100,
    ],
    ids=["large frame", "http", "nested", "many messages"],
)
@async_test
async def test_stranger_that_sends_too_much_is_disconnected(sent: bytes) -> None:
    stream = FakeStream(sent)
    assert await PendingClients("right").authenticate(stream) is None
    assert stream.is_closed
    assert len(stream.sent) <= MAX_MESSAGES


@async_test
async def test_large_frame_is_not_buffered_before_it_is_refused() -> None:
    stream = FakeStream(b"Content-Length: 66000000\r\n\r\n", *[b"{}," * 20_000] * 3)
    assert await PendingClients("right").authenticate(stream) is None
    assert len(stream._chunks) == 3


@async_test
async def test_silent_stranger_is_disconnected_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(authentication, "TIMEOUT_S", 0.02)
    stream, pending = FakeStream(), PendingClients("right")
    assert await pending.authenticate(stream) is None
    assert stream.is_closed
    assert not len(pending)


@async_test
async def test_oldest_stranger_gives_way_to_a_new_client() -> None:
    pending = PendingClients("right", max_pending=2)
    strangers = [FakeStream() for _ in range(3)]
    tasks = []
    for stranger in strangers:
        tasks.append(asyncio.create_task(pending.authenticate(stranger)))
        await asyncio.sleep(0)
    assert [stranger.is_closed for stranger in strangers] == [True, False, False]
    assert await pending.authenticate(FakeStream(initialize({"token": "right"})))
    for stranger in strangers:
        stranger.abort()
    assert await asyncio.gather(*tasks) == [None] * 3
    assert not len(pending)


@async_test
async def test_requests_before_initialize_are_answered_with_an_error() -> None:
    status = frame_of(id="a", method="starcoder/status")
    stream = FakeStream(status, initialize({"token": "right"}))
    assert await PendingClients("right").authenticate(stream)
    assert [(answer["id"], answer["error"]["code"]) for answer in stream.sent] == [("a", -32002)]
