from __future__ import annotations

import asyncio
import json
import socket
from typing import Any

from fakes import ScriptedEngine
from harness import async_test, wait_until
from starcoder_ls.daemon import wire
from starcoder_ls.daemon.engine_server import lend
from starcoder_ls.generation import Phase, Request
from starcoder_ls.lsp.framing import FrameReader
from starcoder_ls.lsp.tcp import SocketStream


async def answers(
    engine: ScriptedEngine | None, says_after: int | None = None, **question: Any
) -> list[dict[str, Any]]:
    """All that is said to ``question``; the asker has enough once it has heard ``says_after`` messages."""
    ours, theirs = socket.socketpair()
    reader, writer = await asyncio.open_connection(sock=ours)
    lending = asyncio.create_task(lend(engine, question, SocketStream(*await asyncio.open_connection(sock=theirs))))
    frames, heard = FrameReader(), list[dict[str, Any]]()
    while chunk := await reader.read(65536):
        heard += map(json.loads, frames.feed(chunk))
        if says_after is not None and len(heard) >= says_after:
            writer.write(b"enough")
            says_after = None
    await lending
    writer.close()
    return heard


async def ready(**options: Any) -> ScriptedEngine:
    engine = ScriptedEngine(**options)
    engine.start()
    await wait_until(lambda: engine.status().phase is Phase.READY)
    return engine


@async_test
async def test_the_status_a_count_and_a_generation_are_what_the_engine_says() -> None:
    engine = await ready(scripts=[["a", "b"]])
    (status,) = await answers(engine, ask="engine")
    assert wire.decode_status(status["status"]).phase is Phase.READY
    assert await answers(engine, ask="count", text="x" * 8) == [{"tokens": 2}]
    said = await answers(engine, ask="generate", request=wire.encode_request(Request(("p",), 5)))
    assert "".join(one["chunk"]["text"] for one in said) == "ab"
    await asyncio.to_thread(engine.close)


@async_test
async def test_one_word_of_the_asker_ends_the_generation_which_still_says_its_timings() -> None:
    engine = await ready(scripts=[["a"] * 5000], token_s=0.005)
    request = wire.encode_request(Request(("p",), 5000))
    said = await answers(engine, 3, ask="generate", request=request)
    assert len(said) < 1000
    assert wire.decode_chunk(said[-1]["chunk"]).timings is not None
    await asyncio.to_thread(engine.close)


@async_test
async def test_without_a_model_the_answer_is_a_sentence() -> None:
    assert await answers(None, ask="engine") == [{"error": ["EngineNotReady", "The model is not loaded now."]}]
