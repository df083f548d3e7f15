"""The adapters that one client's settings name, made resident in the engine that it shares with others.

Decides that a name stays with the source that had it first, and that each refusal is told once. Refuses to know files
and models.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from starcoder_ls.errors import StarcoderError
from starcoder_ls.generation import Phase, Status
from starcoder_ls.settings import Adapter

if TYPE_CHECKING:
    from starcoder_ls.session.session import Session


class AdapterSync:
    """Lives on the loop of its session."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._task: asyncio.Task[None] | None = None
        self._refused: set[tuple[str, str]] = set()
        self._unsubscribe: Callable[[], None] | None = None
        self._was_away = False

    def follow(self) -> None:
        """The settings are new, or the client is: attach what is missing as soon as the model is ready."""
        if self._unsubscribe is None:
            loop = asyncio.get_running_loop()
            self._unsubscribe = self._session.supervisor.subscribe(lambda status: self._hear(status, loop))
        if self._session.supervisor.model == self._session.settings.model and (self._task is None or self._task.done()):
            self._task = asyncio.get_running_loop().create_task(self._attach_all())

    def _hear(self, status: Status, loop: asyncio.AbstractEventLoop) -> None:
        """From any thread. An engine that was built anew knows the adapters of its first client only."""
        if status.phase in (Phase.LOADING, Phase.ASLEEP):
            self._was_away = True
        elif self._was_away and status.phase is Phase.READY and not loop.is_closed():
            self._was_away = False
            loop.call_soon_threadsafe(self.follow)

    def stop(self) -> None:
        if self._unsubscribe is not None:
            self._unsubscribe()
        if self._task is not None:
            self._task.cancel()

    async def _attach_all(self) -> None:
        if await self._ready() is None:
            return
        while missing := self._missing():
            for name, adapter in missing.items():
                await self._attach(name, adapter)

    def _missing(self) -> dict[str, Adapter]:
        """Wanted, not resident under that name, and not refused before."""
        resident = {adapter.name: adapter.source for adapter in self._session.supervisor.status().adapters}
        wanted = self._session.settings.resident_adapters()
        for name, adapter in wanted.items():
            if (resident.get(name) or adapter.source) != adapter.source:
                self._session.show_once(
                    f"The adapter {name} is {resident[name]} in this server, not {adapter.source}. "
                    "Give yours another name, or start a server of its own."
                )
        return {
            name: adapter
            for name, adapter in wanted.items()
            if name not in resident and (name, adapter.source) not in self._refused
        }

    async def _attach(self, name: str, adapter: Adapter) -> None:
        engine = self._session.supervisor.ready_engine()
        try:
            if engine is not None:
                await engine.attach(name, adapter)
                return
        except StarcoderError as error:
            self._session.show_once(f"The adapter {name} was left out. {error}")
        self._refused.add((name, adapter.source))

    async def _ready(self) -> Status | None:
        """Once the engine can be asked; None where it never will. An adapter that failed then is tried again."""
        changed = asyncio.Event()
        loop = asyncio.get_running_loop()

        def wake(_: Status) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(changed.set)

        unsubscribe = self._session.supervisor.subscribe(wake)
        try:
            while True:
                status = self._session.supervisor.status()
                if status.phase in (Phase.READY, Phase.WORKING):
                    return status
                if status.phase is not Phase.LOADING:
                    return None
                changed.clear()
                await changed.wait()
        finally:
            unsubscribe()
