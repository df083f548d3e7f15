"""An engine whose running requests are recorded in the daemon's shared memory, with the documents they belong to."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import cast

from starcoder_ls.daemon.activity import ActivityWriter
from starcoder_ls.daemon.attributing_loop import current_entry
from starcoder_ls.generation import AdapterStatus, Chunk, Engine, Request, Status
from starcoder_ls.settings import Adapter


class AttributedEngine:
    """``generation.Engine`` around ``engine``. Requests of commands have no document and are not recorded."""

    def __init__(self, engine: Engine, activity: ActivityWriter) -> None:
        self._engine, self._activity = engine, activity

    async def stream(self, request: Request) -> AsyncGenerator[Chunk, None]:
        """As ``Engine.stream``."""
        slot = self._begin()
        try:
            async with aclosing(cast("AsyncGenerator[Chunk, None]", self._engine.stream(request))) as chunks:
                async for chunk in chunks:
                    yield chunk
        finally:
            self._activity.remove_request(slot)

    async def prefill(self, request: Request) -> None:
        """As ``Engine.prefill``."""
        slot = self._begin()
        try:
            await self._engine.prefill(request)
        finally:
            self._activity.remove_request(slot)

    def count_tokens(self, text: str) -> int:
        """As ``Engine.count_tokens``. Raises EngineNotReady."""
        return self._engine.count_tokens(text)

    def status(self) -> Status:
        return self._engine.status()

    async def attach(self, name: str, adapter: Adapter) -> AdapterStatus:
        """As ``Engine.attach``. Raises AdapterInvalid, EngineNotReady, EngineClosed, OutOfMemory."""
        return await self._engine.attach(name, adapter)

    async def detach(self, name: str) -> None:
        """As ``Engine.detach``. Raises AdapterInvalid."""
        await self._engine.detach(name)

    def subscribe(self, listener: Callable[[Status], None]) -> Callable[[], None]:
        return self._engine.subscribe(listener)

    def start(self) -> None:
        self._engine.start()

    def close(self) -> None:
        self._engine.close()

    def _begin(self) -> int | None:
        self._activity.beat()  # the model is loaded, so that windows need not wait longer than usual
        entry = current_entry()
        return self._activity.add_request(entry) if entry else None
