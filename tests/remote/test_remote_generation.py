from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any, cast

import pytest

from fake_vllm import BUNDLED
from fakes import FakeClock
from starcoder_ls.cancel_flag import CancelFlag
from starcoder_ls.errors import EngineUnreachable
from starcoder_ls.generation import Chunk, FinishReason, Request
from starcoder_ls.remote.answer_assembly import AnswerAssembly
from starcoder_ls.remote.dialects.dialect import Call
from starcoder_ls.remote.dialects.vllm import VllmDialect
from starcoder_ls.remote.endpoint import Endpoint
from starcoder_ls.remote.remote_generation import RemoteGeneration
from starcoder_ls.remote.server_connection import ServerConnection
from stepped_engine import settle


class ScriptedConnection:
    """Yields the events of each call when the test allows it; ``warmed`` counts opened connections."""

    def __init__(self, *answers: list[dict[str, Any]]) -> None:
        self.endpoint = Endpoint("http://127.0.0.1:1")
        self.answers, self.started, self.left, self.warmed = answers, 0, 0, 0
        self.gates = [asyncio.Event() for _ in answers]

    async def stream(self, call: Call, _headers: object) -> AsyncGenerator[dict[str, Any]]:
        self.started += 1
        try:
            await self.gates[call.first_candidate].wait()
            for event in self.answers[call.first_candidate]:
                yield event
        finally:
            self.left += 1

    def warm_up(self) -> None:
        self.warmed += 1


def event(text: str, reason: str | None = None) -> dict[str, Any]:
    return {"choices": [{"index": 0, "token_ids": BUNDLED.encode([text]), "finish_reason": reason}]}


def generation(connection: ScriptedConnection, **fields: Any) -> RemoteGeneration:
    request = Request(("x",), 20, candidates=len(connection.answers), **fields)
    calls = [Call("/v1/completions", {}, number) for number in range(request.candidates)]
    assembly = AnswerAssembly(request, BUNDLED, frozenset({0}), 1, FakeClock().monotonic)
    return RemoteGeneration(request, calls, VllmDialect(), assembly, cast("ServerConnection", connection), {})


async def collect(running: RemoteGeneration) -> list[Chunk]:
    return [chunk async for chunks in running.chunks(None) for chunk in chunks]


def test_calls_run_at_the_same_time_and_chunks_come_in_their_order() -> None:
    async def scenario() -> None:
        connection = ScriptedConnection([event("a", "stop")], [event("b", "stop")])
        task = asyncio.create_task(collect(generation(connection)))
        await settle()
        assert connection.started == 2
        connection.gates[1].set()
        await settle()
        connection.gates[0].set()
        chunks = await task
        assert [(chunk.candidate, chunk.text) for chunk in chunks if chunk.text] == [(1, "b"), (0, "a")]
        assert (connection.left, connection.warmed) == (2, 0)

    asyncio.run(scenario())


def test_stop_rule_ends_the_answer_before_its_last_token() -> None:
    async def scenario() -> None:
        connection = ScriptedConnection([event(text) for text in ("a", "\n", "b")] * 100)
        connection.gates[0].set()
        chunks = await collect(generation(connection, stop=lambda text: 1 if "\n" in text else None))
        assert (chunks[-1].text, chunks[-1].finish_reason) == ("a", FinishReason.STOP_RULE)
        assert connection.left == 1

    asyncio.run(scenario())


def test_cancelled_answer_is_left_and_a_connection_opened() -> None:
    async def scenario() -> None:
        connection, flag = ScriptedConnection([event("a")]), CancelFlag()
        task = asyncio.create_task(collect(generation(connection, cancel=flag)))
        await settle()
        flag.set()
        (chunk,) = await task
        assert chunk.finish_reason is FinishReason.CANCELLED
        assert (connection.left, connection.warmed) == (1, 1)

    asyncio.run(scenario())


def test_answer_that_ends_without_a_reason_is_an_error() -> None:
    async def scenario() -> None:
        connection = ScriptedConnection([event("a")])
        connection.gates[0].set()
        with pytest.raises(EngineUnreachable, match="early"):
            await collect(generation(connection))

    asyncio.run(scenario())
