"""The resident process's engine for a command of the same user: one question per connection.

Decides what may be asked: the status, a count, a generation. Refuses to know sessions and documents.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any, cast

from starcoder_ls.daemon import wire
from starcoder_ls.daemon.connect_or_spawn import framed
from starcoder_ls.errors import EngineNotReady, StarcoderError
from starcoder_ls.generation import Engine, Request
from starcoder_ls.lsp.tcp import SocketStream

QUESTIONS = ("engine", "count", "generate")


async def lend(engine: Engine | None, asked: Mapping[str, Any], stream: SocketStream) -> None:
    """Answer one of QUESTIONS. Whoever hangs up ends the generation; any word of theirs does, and hears its end."""
    try:
        if engine is None:
            raise EngineNotReady("The model is not loaded now.")
        if asked["ask"] == "engine":
            _say(stream, status=wire.encode_status(engine.status()))
        elif asked["ask"] == "count":
            _say(stream, tokens=await asyncio.to_thread(engine.count_tokens, str(asked["text"])))
        else:
            await _generate(engine, wire.decode_request(asked["request"]), stream)
    except StarcoderError as error:
        _say(stream, error=wire.encode_error(error))
    await stream.close()


async def _generate(engine: Engine, request: Request, stream: SocketStream) -> None:
    async def cancel() -> None:
        await stream.read()
        request.cancel.set()

    listening = asyncio.create_task(cancel())
    try:
        async with aclosing(cast("AsyncGenerator[Any]", engine.stream(request))) as chunks:
            async for chunk in chunks:
                _say(stream, chunk=wire.encode_chunk(chunk))
    finally:
        listening.cancel()


def _say(stream: SocketStream, **members: Any) -> None:
    stream.write(framed(members))
