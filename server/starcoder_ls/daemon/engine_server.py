"""The daemon's half of the engine RPC: it answers the queries of ``EngineClient``, one per connection.

The queries are the status, a token count and a generation.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any, cast

from starcoder_ls.daemon import wire
from starcoder_ls.daemon.message import encode_frame
from starcoder_ls.errors import EngineNotReady, StarcoderError
from starcoder_ls.generation import Engine, Request
from starcoder_ls.lsp.tcp import SocketStream

QUERIES_WITH_REQUEST = ("count", "generate")
"""The text or the request comes in a second message, because the first one of a connection must be small."""

QUERIES = ("engine", *QUERIES_WITH_REQUEST)


async def answer_query(engine: Engine | None, query: Mapping[str, Any], stream: SocketStream) -> None:
    """Answer one of QUERIES and close ``stream``. A StarcoderError becomes the answer.

    Anything that the client sends during a generation, or the end of its connection, cancels the generation; the last
    chunk, with the timings, is sent in any case. Raises KeyError, TypeError or ValueError for an invalid query.
    """
    try:
        if engine is None:
            raise EngineNotReady("The model is not loaded now.")
        if query["query"] == "engine":
            _send(stream, status=wire.encode_status(engine.status()))
        elif query["query"] == "count":
            _send(stream, tokens=await asyncio.to_thread(engine.count_tokens, str(query["text"])))
        else:
            await _generate(engine, wire.decode_request(query["request"]), stream)
    except StarcoderError as error:
        _send(stream, error=wire.encode_error(error))
    await stream.close()


async def _generate(engine: Engine, request: Request, stream: SocketStream) -> None:
    async def cancel_on_input() -> None:
        await stream.read()
        request.cancel.set()

    reading = asyncio.create_task(cancel_on_input())
    try:
        async with aclosing(cast("AsyncGenerator[Any]", engine.stream(request))) as chunks:
            async for chunk in chunks:
                _send(stream, chunk=wire.encode_chunk(chunk))
    finally:
        reading.cancel()


def _send(stream: SocketStream, **fields: Any) -> None:
    stream.write(encode_frame(fields))
