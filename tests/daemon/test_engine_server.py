from __future__ import annotations

import asyncio
import json
import socket
from typing import Any

from fakes import ScriptedEngine
from harness import async_test, wait_until
from starcoder_ls.daemon import wire
from starcoder_ls.daemon.engine_server import answer_query
from starcoder_ls.generation import FinishReason, Phase, Request
from starcoder_ls.lsp.framing import FrameReader
from starcoder_ls.lsp.tcp import SocketStream


async def query(engine: ScriptedEngine | None, stop_after: int | None = None, **fields: Any) -> list[dict[str, Any]]:
    """All answers to a query. The client sends something once it has received ``stop_after`` answers."""
    ours, theirs = socket.socketpair()
    reader, writer = await asyncio.open_connection(sock=ours)
    stream = SocketStream(*await asyncio.open_connection(sock=theirs))
    answering = asyncio.create_task(answer_query(engine, fields, stream))
    frames, answers = FrameReader(), list[dict[str, Any]]()
    while chunk := await reader.read(65536):
        answers += map(json.loads, frames.feed_data(chunk))
        if stop_after is not None and len(answers) >= stop_after:
            writer.write(b"stop")
            stop_after = None
    await answering
    writer.close()
    return answers


async def ready_engine(**options: Any) -> ScriptedEngine:
    engine = ScriptedEngine(**options)
    engine.start()
    await wait_until(lambda: engine.status().phase is Phase.READY)
    return engine


@async_test
async def test_status_count_and_generation_equal_those_of_the_engine() -> None:
    engine = await ready_engine(scripts=[["a", "b"]])
    (status,) = await query(engine, query="engine")
    assert wire.decode_status(status["status"]) == engine.status()
    assert await query(engine, query="count", text="x" * 8) == [{"tokens": 2}]
    answers = await query(engine, query="generate", request=wire.encode_request(Request(("p",), 5)))
    assert "".join(answer["chunk"]["text"] for answer in answers) == "ab"
    await asyncio.to_thread(engine.close)


@async_test
async def test_client_input_cancels_a_generation_which_then_sends_timings() -> None:
    engine = await ready_engine(scripts=[["a"] * 5000], token_s=0.005)
    answers = await query(engine, 3, query="generate", request=wire.encode_request(Request(("p",), 5000)))
    last = wire.decode_chunk(answers[-1]["chunk"])
    assert last.finish_reason is FinishReason.CANCELLED
    assert last.timings is not None
    await asyncio.to_thread(engine.close)


@async_test
async def test_query_without_a_loaded_model_is_answered_with_an_error() -> None:
    assert await query(None, query="engine") == [{"error": ["EngineNotReady", "The model is not loaded now."]}]
