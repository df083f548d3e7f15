"""One request at a server: its calls run at the same time, and their pieces become chunks in the order of arrival.

It ends at the first of these: all candidates are finished, the request is cancelled, its deadline, an error.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import replace
from functools import partial

from starcoder_ls.errors import EngineUnreachable
from starcoder_ls.generation import Chunk, FinishReason, Request
from starcoder_ls.remote.answer_assembly import AnswerAssembly
from starcoder_ls.remote.dialects.dialect import Call, Dialect, Piece
from starcoder_ls.remote.server_connection import ServerConnection

_END_OF_STREAM_S = 0.05
"""How long to wait for the end of a stream whose last token has arrived: the connection can be used again then."""

_Arrival = Piece | FinishReason | Exception | None
"""A piece; a reason to end; an error; None: a call has ended."""


class RemoteGeneration:
    """Generates the answer to ``request`` by ``calls``, on the event loop of ``connection``."""

    def __init__(
        self,
        request: Request,
        calls: Sequence[Call],
        dialect: Dialect,
        assembly: AnswerAssembly,
        connection: ServerConnection,
        headers: Mapping[str, str],
    ) -> None:
        self._request, self._calls, self._dialect = request, calls, dialect
        self._assembly, self._connection, self._headers = assembly, connection, headers
        self._arrivals: asyncio.Queue[_Arrival] = asyncio.Queue()
        self._ended_candidates = 0
        self._is_too_late = False
        self._started_s = self._last_arrival_s = 0.0

    @property
    def is_over(self) -> bool:
        """Whether all candidates have ended."""
        return self._assembly.is_over

    @property
    def has_started(self) -> bool:
        """Whether the server has sent a token or ended the answer."""
        return self._ended_candidates > 0 or self._assembly.has_started

    @property
    def is_silent(self) -> bool:
        """Whether the deadline has ended it and the server had sent nothing in the second half of the time."""
        deadline_s = self._request.deadline_s
        if not self._is_too_late or deadline_s is None:
            return False
        return not self.has_started or self._last_arrival_s < (self._started_s + deadline_s) / 2

    async def chunks(self, timeout_s: float | None) -> AsyncGenerator[tuple[Chunk, ...]]:
        """The chunks of the answer. After ``timeout_s`` without a token it fails; None: the deadline ends it.

        Raises EngineUnreachable if the server is silent or its answer ends early, and what ``ServerConnection.stream``
        raises.
        """
        loop, deadline_s = asyncio.get_running_loop(), self._request.deadline_s
        unregister = self._request.cancel.on_set(partial(self._put_from_any_thread, loop, FinishReason.CANCELLED))
        timers = [] if deadline_s is None else [loop.call_at(deadline_s, self._put, FinishReason.DEADLINE)]
        self._started_s = loop.time()
        readers = [loop.create_task(self._read(call)) for call in self._calls]
        try:
            async with aclosing(self._collect(len(readers), timeout_s)) as collected:
                async for chunks in collected:
                    yield chunks
        finally:
            unregister()
            for timer in timers:
                timer.cancel()
            if readers and self._ended_candidates == self._request.candidates:
                await asyncio.wait(readers, timeout=_END_OF_STREAM_S)
            has_abort = any(not reader.done() for reader in readers)
            for reader in readers:
                reader.cancel()
            await asyncio.gather(*readers, return_exceptions=True)
            if has_abort:
                self._connection.warm_up()

    async def _collect(self, open_calls: int, timeout_s: float | None) -> AsyncGenerator[tuple[Chunk, ...]]:
        if not open_calls:
            yield self._assembly.finish(FinishReason.LENGTH)
        while not self._assembly.is_over:
            arrival = await self._next_arrival(timeout_s)
            if isinstance(arrival, Exception):
                raise arrival
            if arrival is None:
                open_calls -= 1
                if not open_calls and not self._assembly.is_over:
                    raise EngineUnreachable(
                        f"{self._connection.endpoint.host} ended its answer early. The server may have stopped."
                    )
                continue
            if isinstance(arrival, Piece):
                self._last_arrival_s = asyncio.get_running_loop().time()
                self._ended_candidates += arrival.finish_reason is not None
                chunks = self._assembly.add(arrival)
            else:
                self._is_too_late = arrival is FinishReason.DEADLINE
                chunks = self._assembly.finish(arrival)
            if chunks:
                yield chunks

    async def _next_arrival(self, timeout_s: float | None) -> _Arrival:
        """Raises EngineUnreachable if there is none within ``timeout_s``."""
        try:
            async with asyncio.timeout(timeout_s):
                return await self._arrivals.get()
        except TimeoutError:
            host = self._connection.endpoint.host
            raise EngineUnreachable(f"{host} sent no token within {timeout_s:.1f} s.") from None

    async def _read(self, call: Call) -> None:
        try:
            async with aclosing(self._connection.stream(call, self._headers)) as events:
                async for event in events:
                    if "error" in event:
                        raise EngineUnreachable(f"{self._connection.endpoint.host} failed while it generated.")
                    for piece in self._dialect.read_event(event):
                        self._put(replace(piece, candidate=call.first_candidate + piece.candidate))
            self._put(None)
        except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
            self._put(EngineUnreachable(f"The server's events have an unknown format ({type(error).__name__})."))
        except Exception as error:  # noqa: BLE001 - raised where the chunks are read
            self._put(error)

    def _put(self, arrival: _Arrival) -> None:
        self._arrivals.put_nowait(arrival)

    def _put_from_any_thread(self, loop: asyncio.AbstractEventLoop, arrival: _Arrival) -> None:
        with suppress(RuntimeError):  # the loop is closed: nothing runs any more
            loop.call_soon_threadsafe(self._put, arrival)
