"""The one engine of this process, from the first client's choice of a model to the end.

Decides that the first choice stands, when the model's memory is given back, and when an engine is built anew. Refuses
to know clients, and what an engine is made of.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable

from starcoder_ls.errors import StarcoderError
from starcoder_ls.generation import Engine, Phase, Status
from starcoder_ls.settings import Model, Settings

logger = logging.getLogger(__name__)

Listener = Callable[[Status], None]

_ABLE = (Phase.READY, Phase.WORKING)
FIRST_WAIT_S, _LONGEST_WAIT_S, _STEADY_S = 1.0, 60.0, 300.0
"""Before an engine that died is built anew: doubled each time, and the first again once one has lived steadily."""
_MOST_FAILURES = 3


class EngineSupervisor:
    """Safe from any thread. ``engine_for`` runs in a thread of its own: it may import torch, which takes seconds.

    ``release_s`` without a question puts the model away, 0 never does.
    """

    def __init__(
        self, engine_for: Callable[[Settings], Engine], release_s: float = 0.0, first_wait_s: float = FIRST_WAIT_S
    ) -> None:
        self._engine_for = engine_for
        self._release_s, self._first_wait_s = release_s, first_wait_s
        self._lock = threading.Lock()
        self._listeners: list[Listener] = []
        self._engine: Engine | None = None
        self._settings: Settings | None = None
        self._status = Status(Phase.LOADING, message="The model has not been chosen yet.")
        self._is_over = threading.Event()
        self._asked_s = self._ready_s = time.monotonic()
        self._has_been_ready = self._has_ever_been_ready = False
        self._failures = 0
        self._wait_s = first_wait_s
        self.model: Model | None = None

    def choose(self, settings: Settings) -> bool:
        """Start the engine, unless it runs; try again if it could not be loaded. False if it runs another model than
        that of ``settings``."""
        with self._lock:
            if self.model is not None and self.model != settings.model:
                return False
            if self.model is None:
                self.model, self._settings = settings.model, settings
            elif self._current().phase is not Phase.FAILED or self._has_been_ready:
                return True
            failed, self._engine = self._engine, None
            self._become_starting("Starting.")
        self._begin(failed)
        return True

    @property
    def is_beyond_repair(self) -> bool:
        """A model that has worked here does not load any more: a device that failed may stay so for this process."""
        return self._failures >= _MOST_FAILURES

    @property
    def ready(self) -> Engine | None:
        """The engine, if it can be asked now. Asking for one that was put away brings it back, for later."""
        self._asked_s = time.monotonic()
        engine = self._engine
        if engine is not None and engine.status().phase in _ABLE:
            return engine
        if engine is None and self._status.phase is Phase.ASLEEP:
            self._wake()
        return None

    async def awaited(self, seconds: float) -> Engine | None:
        """The engine once it can be asked; None if it cannot be loaded, or not in time."""
        if seconds <= 0.0:
            return self.ready
        loop, changed = asyncio.get_running_loop(), asyncio.Event()

        def hear(_: Status) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(changed.set)

        unsubscribe = self.subscribe(hear)
        try:
            async with asyncio.timeout(seconds):
                while (engine := self.ready) is None and self.status().phase in (Phase.LOADING, Phase.ASLEEP):
                    await changed.wait()
                    changed.clear()
                return engine
        except TimeoutError:
            return None
        finally:
            unsubscribe()

    def status(self) -> Status:
        return self._current()

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Call ``listener`` on every change, from any thread; the answer unsubscribes."""
        with self._lock:
            self._listeners.append(listener)
        return lambda: self._unsubscribe(listener)

    def close(self) -> None:
        """End the engine and wait for it. Idempotent."""
        with self._lock:
            self._is_over.set()
            engine = self._engine
        if engine is not None:
            engine.close()

    def _current(self) -> Status:
        engine = self._engine
        return engine.status() if engine is not None else self._status

    def _become_starting(self, message: str) -> None:
        assert self.model is not None
        self._status = Status(Phase.LOADING, message=message, model=self.model.name)

    def _wake(self) -> None:
        with self._lock:
            if self._engine is not None or self._status.phase is not Phase.ASLEEP:
                return
            self._become_starting("Coming back.")
        self._tell(self._status)
        self._begin(None)

    def _begin(self, old: Engine | None) -> None:
        threading.Thread(target=self._start, args=(old,), name="engine-start", daemon=True).start()

    def _start(self, old: Engine | None) -> None:
        settings = self._settings
        assert settings is not None
        try:
            if old is not None:
                old.close()
            engine = self._engine_for(settings)
        except StarcoderError as error:
            self._fail(str(error), settings.model)
            return
        except Exception as error:  # noqa: BLE001 - nothing above us in this thread would tell the user
            logger.error("the engine cannot start: %s: %s", type(error).__name__, error)
            self._fail(f"The model cannot be started ({type(error).__name__}). The log says more.", settings.model)
            return
        engine.subscribe(lambda status: self._hear(engine, status))
        self._has_been_ready, self._asked_s = False, time.monotonic()
        with self._lock:
            self._engine = engine
            is_late = self._is_over.is_set()
        if is_late:
            engine.close()
            return
        engine.start()
        self._tell(engine.status())
        if self._release_s > 0.0:
            threading.Thread(target=self._watch, args=(engine,), name="engine-release", daemon=True).start()

    def _hear(self, engine: Engine, status: Status) -> None:
        if engine is not self._engine:
            return  # of one that was put away or replaced
        if status.phase in _ABLE and not self._has_been_ready:
            self._has_been_ready, self._ready_s = True, time.monotonic()
            self._has_ever_been_ready, self._failures = True, 0
        if status.phase is Phase.FAILED and not self._has_been_ready:
            self._failures += self._has_ever_been_ready
        self._tell(status)
        if status.phase is Phase.FAILED and self._has_ever_been_ready and not self._is_over.is_set():
            threading.Thread(target=self._rebuild, args=(engine,), name="engine-rebuild", daemon=True).start()

    def _rebuild(self, engine: Engine) -> None:
        """An engine that had worked has died, or does not come back: whatever the reason, it may be over."""
        if self._has_been_ready and time.monotonic() - self._ready_s > _STEADY_S:
            self._wait_s = self._first_wait_s
        wait_s, self._wait_s = self._wait_s, min(self._wait_s * 2, _LONGEST_WAIT_S)
        logger.error("the engine died; it is built anew in %.0f s", wait_s)
        if self._is_over.wait(wait_s):
            return
        with self._lock:
            if self._engine is not engine:
                return
            self._engine = None
            self._become_starting("Starting again.")
        self._tell(self._status)
        self._start(engine)

    def _watch(self, engine: Engine) -> None:
        """Put ``engine`` away once nobody has asked for long enough."""
        while not self._is_over.wait(min(self._release_s / 4, 10.0)) and engine is self._engine:
            status = engine.status()
            if status.phase is not Phase.READY or time.monotonic() - self._asked_s < self._release_s:
                continue
            with self._lock:
                self._engine = None
                message = "The model was put away while nothing was asked; the next request loads it."
                self._status = Status(Phase.ASLEEP, message=message, model=status.model)
            engine.close()
            logger.info("the model's memory was given back")
            self._tell(self._status)

    def _fail(self, message: str, model: Model) -> None:
        self._status = Status(Phase.FAILED, message=message, model=model.name)
        self._tell(self._status)

    def _unsubscribe(self, listener: Listener) -> None:
        with self._lock:
            if listener in self._listeners:
                self._listeners.remove(listener)

    def _tell(self, status: Status) -> None:
        with self._lock:
            listeners = list(self._listeners)
        for listener in listeners:
            listener(status)
