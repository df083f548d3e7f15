"""Reads server-sent events of completion servers: one JSON object per `data:` line, `[DONE]` at the end.

Limits the size of a line and of a response, since a faulty server must not fill the memory.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterable
from typing import Any

from starcoder_ls.errors import EngineUnreachable

MAX_LINE_BYTES = 1 << 20
MAX_RESPONSE_BYTES = 16 << 20
DONE = "[DONE]"


async def decode_events(data: AsyncIterable[bytes]) -> AsyncGenerator[dict[str, Any]]:
    """The events in ``data``; those after `[DONE]` are read but ignored, as are comments and other fields.

    Raises EngineUnreachable if a line is no JSON object or exceeds a limit.
    """
    pending, received, is_done = b"", 0, False
    async for piece in data:
        received += len(piece)
        *lines, pending = (pending + piece).split(b"\n")
        if len(pending) > MAX_LINE_BYTES or received > MAX_RESPONSE_BYTES:
            raise EngineUnreachable("The server's answer is longer than any answer to a completion. Check its log.")
        for line in lines:
            content = line[5:].strip() if line.startswith(b"data:") else b""
            is_done = is_done or content == DONE.encode()
            if content and not is_done:
                yield _decode(content)


def _decode(content: bytes) -> dict[str, Any]:
    try:
        event = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise EngineUnreachable(
            "The server's answer is not JSON. Is `remote.url` a vLLM or llama.cpp server?"
        ) from error
    if not isinstance(event, dict):
        raise EngineUnreachable("The server's answer has no objects. Is `remote.url` a vLLM or llama.cpp server?")
    return event
