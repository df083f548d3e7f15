"""The engine of this process: a state machine that starts it, unloads it when idle, and restarts it after a failure.

Decides that the model of the first client is kept, when an idle model is unloaded, and when a failed one is retried.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable

from starcoder_ls.errors import StarcoderError
from starcoder_ls.generation import Engine, EngineFactory, Phase, Status
from starcoder_ls.import_failures import explain_import_failure
from starcoder_ls.session.clock import Clock, SystemClock
from starcoder_ls.session.engine_state import TRANSITIONS, EngineState
from starcoder_ls.settings import Model, Settings

logger = logging.getLogger(__name__)

Listener = Callable[[Status], None]

RETRY_DELAY_S, MAX_RETRY_DELAY_S = 1.0, 60.0
"""Delay before a failed engine is restarted; doubled with each failure."""
STABLE_AFTER_S = 300.0
"""An engine that was ready for this long resets the delay to ``RETRY_DELAY_S``."""
MAX_FAILED_RELOADS = 3
MAX_IDLE_CHECK_S = 10.0

_UNLOADED_MESSAGE = "The model was unloaded after inactivity; the next request loads it again."


class EngineSupervisor:
    """Starts, unloads and restarts the engine of this process. All methods are thread-safe.

    ``engine_factory`` creates an engine; it runs in its own thread because it may import torch, which takes seconds.
    The model is unloaded after ``idle_timeout_s`` without a request, never if that is 0.

    The lock protects the state; it is never held while an engine is made, started or closed, or a listener is called.
    """

    def __init__(self, engine_factory: EngineFactory, idle_timeout_s: float = 0.0, clock: Clock | None = None) -> None:
        self._engine_factory = engine_factory
        self._idle_timeout_s = idle_timeout_s
        self._clock = clock or SystemClock()
        self._lock = threading.Lock()
        self._listeners: list[Listener] = []
        self._state = EngineState.NEW
        self._engine: Engine | None = None
        self._settings: Settings | None = None
        self._status = Status(Phase.LOADING, message="The model has not been chosen yet.")  # while there is no engine
        self._last_request_s = self._ready_since_s = self._clock.monotonic()
        self._has_invalid_settings = False
        self._was_ready = False  # the current engine
        self._was_ever_ready = False
        self._failed_reloads = 0
        self._retry_delay_s = RETRY_DELAY_S
        self.wrap_engine: Callable[[Engine], Engine] = lambda engine: engine
        """Applied to each engine that is made, before it starts."""

    @property
    def model(self) -> Model | None:
        """The model of this process; None before the first ``start``."""
        return None if self._settings is None else self._settings.model

    def serves(self, settings: Settings) -> bool:
        """Whether the engine was started for these settings of the model."""
        return self._settings is not None and self._settings.has_engine_of(settings)

    @property
    def state(self) -> EngineState:
        return self._state

    @property
    def is_unrecoverable(self) -> bool:
        """Whether a model that worked in this process failed to load again and again: its device may be lost to it."""
        return self._failed_reloads >= MAX_FAILED_RELOADS

    def start(self, settings: Settings) -> bool:
        """Load the model of ``settings`` if none was loaded, or again if it failed to load; returns at once.

        False if this process already has another model. Adapters are taken from the first settings.
        """
        with self._lock:
            if self._has_invalid_settings:
                return True
            if self._settings is not None and not self._settings.has_engine_of(settings):
                return False
            if self._settings is None:
                self._settings = settings
            is_startable = self._state is EngineState.NEW or (
                self._state in (EngineState.FAILED, EngineState.REBUILDING) and not self._was_ready
            )
            if not is_startable:
                return True
            failed = self._engine
            self._enter_loading("Starting.")
        self._start_engine(failed)
        return True

    def reject(self, message: str) -> None:
        """Start no engine until ``accept``: the settings are invalid, as ``message`` says. Called before ``start``."""
        with self._lock:
            if self._state is EngineState.NEW:
                self._transition(EngineState.FAILED)
            self._has_invalid_settings = True
            self._status = Status(Phase.FAILED, message=message)
        self._notify(self._status)

    def accept(self) -> None:
        """The settings are valid now: the next ``start`` loads the model."""
        self._has_invalid_settings = False

    def ready_engine(self) -> Engine | None:
        """The engine if it is ready, else None. The call counts as a request; it loads a model that was unloaded."""
        with self._lock:
            self._last_request_s = self._clock.monotonic()
            self._follow_engine()
            if self._state is EngineState.READY:
                return self._engine
            if self._state is not EngineState.ASLEEP:
                return None
            self._enter_loading("Loading again.")
        self._notify(self._status)
        self._start_engine(None)
        return None

    async def wait_until_ready(self, timeout_s: float) -> Engine | None:
        """The engine once it is ready; None if it fails to load or is not ready after ``timeout_s``."""
        if timeout_s <= 0.0:
            return self.ready_engine()
        loop, changed = asyncio.get_running_loop(), asyncio.Event()

        def on_status(_: Status) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(changed.set)

        unsubscribe = self.subscribe(on_status)
        try:
            async with asyncio.timeout(timeout_s):
                while (engine := self.ready_engine()) is None and self.status().phase in (Phase.LOADING, Phase.ASLEEP):
                    await changed.wait()
                    changed.clear()
                return engine
        except TimeoutError:
            return None
        finally:
            unsubscribe()

    def status(self) -> Status:
        """The engine's status, or one that says why there is no engine."""
        engine = self._engine
        return engine.status() if engine is not None else self._status

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Call ``listener`` after every change, from any thread. Returns the function that unsubscribes it."""
        with self._lock:
            self._listeners.append(listener)
        return lambda: self._unsubscribe(listener)

    def close(self) -> None:
        """Close the engine and wait until it has ended. Idempotent."""
        with self._lock:
            if self._state is not EngineState.CLOSED:
                self._transition(EngineState.CLOSED)
            engine = self._engine
        if engine is not None:
            engine.close()

    # Transitions, with the lock held
    def _transition(self, state: EngineState) -> None:
        assert state in TRANSITIONS[self._state], f"{self._state} -> {state}"
        self._state = state

    def _enter_loading(self, message: str) -> None:
        """Without an engine until ``_run_engine`` has made one."""
        assert self._settings is not None
        self._transition(EngineState.LOADING)
        self._status = Status(Phase.LOADING, message=message, model=self._settings.model.name)
        self._engine, self._was_ready = None, False

    def _follow_engine(self) -> None:
        """Enter the state that the engine's own status implies."""
        if self._engine is None or self._state not in (EngineState.LOADING, EngineState.READY):
            return
        phase = self._engine.status().phase
        if phase in (Phase.READY, Phase.WORKING) and self._state is EngineState.LOADING:
            self._transition(EngineState.READY)
            self._was_ready, self._was_ever_ready, self._failed_reloads = True, True, 0
            self._ready_since_s = self._clock.monotonic()
        elif phase is Phase.FAILED:
            self._enter_failed()

    def _enter_failed(self) -> None:
        """FAILED before any model has worked in this process, else REBUILDING: the cause may have passed."""
        if not self._was_ever_ready:
            self._transition(EngineState.FAILED)
            return
        self._transition(EngineState.REBUILDING)
        if not self._was_ready:
            self._failed_reloads += 1
        elif self._clock.monotonic() - self._ready_since_s > STABLE_AFTER_S:
            self._retry_delay_s = RETRY_DELAY_S
        delay_s, self._retry_delay_s = self._retry_delay_s, min(self._retry_delay_s * 2, MAX_RETRY_DELAY_S)
        logger.error("the engine failed; restarting it in %.0f s", delay_s)
        failed = self._engine
        self._clock.call_later(delay_s, lambda: self._rebuild(failed))

    # Effects, without the lock
    def _start_engine(self, previous: Engine | None) -> None:
        self._clock.start_thread("engine-start", lambda: self._run_engine(previous))

    def _run_engine(self, previous: Engine | None) -> None:
        """Close ``previous``, make an engine and start it."""
        settings = self._settings
        assert settings is not None
        try:
            if previous is not None:
                previous.close()
            engine = self.wrap_engine(self._engine_factory(settings))
        except StarcoderError as error:
            self._fail(str(error), settings.model)
            return
        except Exception as error:  # noqa: BLE001 - this thread has no caller that could report it to the user
            logger.error("the engine cannot start: %s: %s", type(error).__name__, error)
            reason = explain_import_failure(error)
            unknown = f"The model cannot be started ({type(error).__name__}). See the server's log."
            self._fail(reason or unknown, settings.model, reason is not None)
            return
        engine.subscribe(lambda status: self._on_engine_status(engine, status))
        with self._lock:
            self._engine, self._last_request_s = engine, self._clock.monotonic()
            is_closed = self._state is EngineState.CLOSED
        if is_closed:
            engine.close()
            return
        engine.start()
        self._notify(engine.status())
        if self._idle_timeout_s > 0.0:
            self._clock.call_later(self._idle_timeout_s, lambda: self._unload_if_idle(engine))

    def _on_engine_status(self, engine: Engine, status: Status) -> None:
        with self._lock:
            if engine is not self._engine:
                return  # it was unloaded or replaced
            self._follow_engine()
        self._notify(status)

    def _fail(self, message: str, model: Model, needs_new_process: bool = False) -> None:
        """No engine could be made."""
        with self._lock:
            if self._state is EngineState.CLOSED:
                return
            self._status = Status(Phase.FAILED, message, model=model.name, needs_new_process=needs_new_process)
            self._enter_failed()
        self._notify(self._status)

    def _rebuild(self, failed: Engine | None) -> None:
        with self._lock:
            if self._state is not EngineState.REBUILDING or self._engine is not failed:
                return
            self._enter_loading("Starting again.")
        self._notify(self._status)
        self._start_engine(failed)

    def _unload_if_idle(self, engine: Engine) -> None:
        """Unload the model if no request came for ``idle_timeout_s``, else check again later.

        The test and the transition happen under one acquisition of the lock, and ``ready_engine`` records its request
        under the same lock: no request can get an engine that is about to be closed.
        """
        with self._lock:
            if engine is not self._engine or self._state not in (EngineState.LOADING, EngineState.READY):
                return
            status = engine.status()
            left_s = self._last_request_s + self._idle_timeout_s - self._clock.monotonic()
            is_idle = self._state is EngineState.READY and status.phase is Phase.READY and left_s <= 0.0
            if is_idle:
                self._transition(EngineState.ASLEEP)
                self._engine = None
                self._status = Status(Phase.ASLEEP, message=_UNLOADED_MESSAGE, model=status.model)
        if not is_idle:
            delay_s = left_s if left_s > 0.0 else min(self._idle_timeout_s / 4, MAX_IDLE_CHECK_S)
            self._clock.call_later(delay_s, lambda: self._unload_if_idle(engine))
            return
        engine.close()
        logger.info("model unloaded after inactivity")
        self._notify(self._status)

    def _unsubscribe(self, listener: Listener) -> None:
        with self._lock:
            if listener in self._listeners:
                self._listeners.remove(listener)

    def _notify(self, status: Status) -> None:
        with self._lock:
            listeners = list(self._listeners)
        for listener in listeners:
            listener(status)
