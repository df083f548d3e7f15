"""Reads what a connection to the daemon sends before it is served: the hello of a window, or a query.

Decides how large it may be, and how long it may take. The first message must be small, because nothing is known of its
sender; the request of a command, which has a prompt, is a second message.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Protocol

from starcoder_ls.lsp.framing import FrameReader
from starcoder_ls.lsp.json_body import parse_body

MAX_HELLO_BYTES = 64 * 1024
"""A hello has less than 1 KB."""

MAX_QUERY_BYTES = 16 * 1024 * 1024
TIMEOUT_S = 10.0


class Readable(Protocol):
    """What is needed of a stream."""

    async def read(self) -> bytes: ...


async def read_object(
    stream: Readable, max_bytes: int, timeout_s: float = TIMEOUT_S
) -> tuple[Mapping[str, Any], bytes]:
    """The next message, and the bytes after it that have been received.

    Raises FramingError, TimeoutError, and ValueError if it is not a JSON object with a limited number of values.
    """
    return await asyncio.wait_for(_read(stream, FrameReader(max_bytes)), timeout_s)


async def _read(stream: Readable, frames: FrameReader) -> tuple[Mapping[str, Any], bytes]:
    while chunk := await stream.read():
        for body in frames.feed_data(chunk):
            fields = parse_body(body)
            if not isinstance(fields, dict):
                raise ValueError("a message is not a JSON object")
            return fields, frames.take_remainder()
    raise ValueError("the connection ended before a message")
