from __future__ import annotations

import asyncio
import json

import pytest

from harness import async_test
from starcoder_ls.daemon.handshake import MAX_HELLO_BYTES, MAX_QUERY_BYTES, read_object
from starcoder_ls.lsp.framing import FramingError, frame


class Chunks:
    """A stream of these chunks; it waits for ever after the last, unless ``has_ended``."""

    def __init__(self, *chunks: bytes, has_ended: bool = True) -> None:
        self._chunks, self._has_ended = list(chunks), has_ended

    async def read(self) -> bytes:
        if not self._chunks and not self._has_ended:
            await asyncio.Event().wait()
        return self._chunks.pop(0) if self._chunks else b""


def framed(fields: object) -> bytes:
    return frame(json.dumps(fields).encode())


@async_test
async def test_first_message_is_returned_with_the_bytes_after_it() -> None:
    data = framed({"window": 1}) + b"rest"
    assert await read_object(Chunks(data[:5], data[5:]), MAX_HELLO_BYTES) == ({"window": 1}, b"rest")


@async_test
async def test_large_message_is_refused_before_its_body_is_received() -> None:
    header = b"Content-Length: %d\r\n\r\n" % (MAX_HELLO_BYTES + 1)
    with pytest.raises(FramingError, match="the limit is 65536"):
        await read_object(Chunks(header, has_ended=False), MAX_HELLO_BYTES)


@async_test
async def test_query_may_be_larger_than_a_hello_and_has_a_limit_too() -> None:
    text = "x" * 10 * MAX_HELLO_BYTES
    assert (await read_object(Chunks(framed({"text": text})), MAX_QUERY_BYTES))[0] == {"text": text}
    with pytest.raises(ValueError, match="too many values"):
        await read_object(Chunks(framed([[]] * 1_500_000)), MAX_QUERY_BYTES)


@async_test
async def test_silent_incomplete_and_invalid_senders_are_refused() -> None:
    with pytest.raises(TimeoutError):
        await read_object(Chunks(has_ended=False), MAX_HELLO_BYTES, timeout_s=0.001)
    for data in (b"", framed({})[:-1], framed([]), frame(b"{")):
        with pytest.raises(ValueError, match=r"JSON|Expecting|ended"):
            await read_object(Chunks(data), MAX_HELLO_BYTES)
