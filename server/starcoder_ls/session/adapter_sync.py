"""Attaches the adapters that one client's settings name to the engine that all clients share.

A name keeps the source that it was first attached with. Each adapter that cannot be attached is reported once.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection
from functools import partial
from pathlib import Path

from starcoder_ls.errors import EngineClosed, EngineNotReady, StarcoderError
from starcoder_ls.generation import Engine, Phase, Status
from starcoder_ls.session.adapter_version_watch import AdapterVersionWatch
from starcoder_ls.session.client_settings import ClientSettings
from starcoder_ls.session.engine_supervisor import EngineSupervisor
from starcoder_ls.settings import Adapter

logger = logging.getLogger(__name__)


class AdapterSync:
    """Used on the session's event loop. ``warn`` shows a message to the user; ``in_exchange`` is shared by the sessions
    of a process: names of adapters that one of them replaces. ``settings_file`` is the client's; None: the user's."""

    def __init__(
        self,
        supervisor: EngineSupervisor,
        settings: ClientSettings,
        warn: Callable[[str], None],
        in_exchange: set[str] | None = None,
        settings_file: Path | None = None,
    ) -> None:
        self._supervisor, self._settings, self._warn = supervisor, settings, warn
        self._in_exchange = in_exchange if in_exchange is not None else set()
        self._versions = AdapterVersionWatch(settings, settings_file)
        self._exchanges: set[asyncio.Task[None]] = set()
        self._task: asyncio.Task[None] | None = None
        self._rejected: set[tuple[str, str]] = set()
        self._unsubscribe: Callable[[], None] | None = None
        self._was_unloaded = False

    def sync(self) -> None:
        """Attach missing adapters and exchange versions as soon as the engine is ready. Called at the start and for new
        settings."""
        if self._unsubscribe is None:
            loop = asyncio.get_running_loop()
            self._unsubscribe = self._supervisor.subscribe(lambda status: self._on_status(status, loop))
        is_same_model = self._supervisor.serves(self._settings.current)
        if is_same_model and (self._task is None or self._task.done()):
            self._task = asyncio.get_running_loop().create_task(self._attach_missing())

    def follow_versions(self) -> None:
        """Load what `train promote` and `train rollback` have changed, in the background. Called for each completion,
        and cheap: the files are looked at four times a second at most."""
        can_attach = self._supervisor.status().capabilities.attach
        if not can_attach or not self._versions.is_due(asyncio.get_running_loop().time()):
            return
        if self._versions.update_settings():
            self.sync()
        self._exchange_changed()

    def _exchange_changed(self) -> None:
        """Start the exchange of adapters of which another version serves now, unless another session exchanges them.

        Nothing happens while the engine is not ready: ``_attach_missing`` calls this again as soon as it is.
        """
        resident = [status for status in self._supervisor.status().adapters if status.name not in self._in_exchange]
        if not resident or (engine := self._supervisor.ready_engine()) is None:
            return
        for name, adapter in self._versions.find_changes(resident).items():
            self._in_exchange.add(name)
            task = asyncio.get_running_loop().create_task(self._exchange(engine, name, adapter))
            self._exchanges.add(task)
            task.add_done_callback(partial(self._end_exchange, name))

    def _end_exchange(self, name: str, task: asyncio.Task[None]) -> None:
        """Called also if ``task`` was cancelled before it began."""
        self._exchanges.discard(task)
        self._in_exchange.discard(name)

    async def _exchange(self, engine: Engine, name: str, adapter: Adapter | None) -> None:
        """Load the version that serves now; None: no version does."""
        try:
            if adapter is not None:
                await engine.attach(name, adapter)
            else:
                await engine.detach(name)
            logger.info("the adapter %s was exchanged", name)
        except (EngineClosed, EngineNotReady) as error:
            logger.info("the adapter %s was not exchanged and will be tried again: %s", name, error)
            self._versions.try_again(name)
        except StarcoderError as error:
            self._warn(f"The new version of the adapter {name} was not loaded, the old one serves on. {error}")

    def _on_status(self, status: Status, loop: asyncio.AbstractEventLoop) -> None:
        """From any thread. An engine that was restarted has only the adapters of its first client."""
        if status.phase in (Phase.LOADING, Phase.ASLEEP):
            self._was_unloaded = True
        elif self._was_unloaded and status.phase is Phase.READY and not loop.is_closed():
            self._was_unloaded = False
            loop.call_soon_threadsafe(self.sync)

    def stop(self) -> None:
        if self._unsubscribe is not None:
            self._unsubscribe()
        for task in (self._task, *self._exchanges):
            if task is not None:
                task.cancel()

    async def _attach_missing(self) -> None:
        """Attach each adapter once; an engine may report success and not list it, or lose it again at once.

        An engine that cannot attach adapters has reported the missing ones in its status.
        """
        if not await self._wait_for_engine() or not self._supervisor.status().capabilities.attach:
            return
        self._exchange_changed()
        attempted: set[tuple[str, str]] = set()
        while missing := self._missing_adapters(attempted):
            for name, adapter in missing.items():
                attempted.add((name, adapter.source))
                if not await self._attach(name, adapter):
                    return  # ``_on_status`` calls ``sync`` when an engine is ready again
        if not_listed := set(self._missing_adapters(set())):
            logger.warning("attached but not listed by the engine: %s", ", ".join(sorted(not_listed)))

    def _missing_adapters(self, attempted: Collection[tuple[str, str]]) -> dict[str, Adapter]:
        """Adapters of the settings that are neither resident nor attempted nor rejected before, by name."""
        resident = {adapter.name: adapter.source for adapter in self._supervisor.status().adapters}
        configured = self._settings.current.resident_adapters()
        self._rejected &= {(name, adapter.source) for name, adapter in configured.items()}
        for name, adapter in configured.items():
            if (resident.get(name) or adapter.source) != adapter.source:
                self._warn(
                    f"The adapter {name} is {resident[name]} in this server, not {adapter.source}. "
                    "Use another name, or start a separate server."
                )
        return {
            name: adapter
            for name, adapter in configured.items()
            if name not in resident and (name, adapter.source) not in (*attempted, *self._rejected)
        }

    async def _attach(self, name: str, adapter: Adapter) -> bool:
        """Returns whether the engine could try it."""
        if (engine := self._supervisor.ready_engine()) is None:
            return False
        try:
            await engine.attach(name, adapter)
        except (EngineClosed, EngineNotReady) as error:
            logger.info("the adapter %s was not attached and will be tried again: %s", name, error)
            return False
        except StarcoderError as error:
            self._rejected.add((name, adapter.source))
            self._warn(f"The adapter {name} was not loaded. {error}")
        return True

    async def _wait_for_engine(self) -> bool:
        """Wait while the engine loads. Whether it is ready then."""
        changed = asyncio.Event()
        loop = asyncio.get_running_loop()

        def on_status(_: Status) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(changed.set)

        unsubscribe = self._supervisor.subscribe(on_status)
        try:
            while (phase := self._supervisor.status().phase) is Phase.LOADING:
                changed.clear()
                await changed.wait()
            return phase in (Phase.READY, Phase.WORKING)
        finally:
            unsubscribe()
