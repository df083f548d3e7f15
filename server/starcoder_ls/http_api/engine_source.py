"""The engine that answers HTTP requests. Replaces one that has ended, such as that of a daemon that was stopped."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from starcoder_ls.errors import EngineNotReady, StarcoderError
from starcoder_ls.generation import Engine, EngineFactory, Phase, Status
from starcoder_ls.session.engine_supervisor import MAX_RETRY_DELAY_S, RETRY_DELAY_S
from starcoder_ls.settings import Settings

logger = logging.getLogger(__name__)


class EngineSource:
    """Creates the engine on a thread, because imports and the search for a daemon take seconds. Thread-safe."""

    def __init__(self, factory: EngineFactory, settings: Settings, clock: Callable[[], float] = time.monotonic) -> None:
        self._factory, self._settings, self._clock = factory, settings, clock
        self._retry_delay_s, self._retry_at_s = RETRY_DELAY_S, 0.0
        self._lock = threading.Lock()
        self._engine: Engine | None = None
        self._failure = ""
        self._is_closed = False
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to create and load an engine, unless there is one or that is under way."""
        with self._lock:
            if not self._is_closed and self._engine is None and (self._thread is None or not self._thread.is_alive()):
                self._failure = ""
                self._thread = threading.Thread(target=self._create, name="http-engine", daemon=True)
                self._thread.start()

    def status(self) -> Status:
        """That of the engine; while there is none, one that is loading or has failed."""
        with self._lock:
            engine, failure = self._engine, self._failure
        if engine is not None:
            return engine.status()
        return Status(Phase.FAILED if failure else Phase.LOADING, failure or "The model is loading.")

    def ready_engine(self) -> Engine:
        """The loaded engine. Raises EngineNotReady while there is none, with its state as message.

        One that has failed is replaced, at most once in the delay.
        """
        with self._lock:
            engine, failure = self._engine, self._failure
        if engine is None:
            self.start()
            raise EngineNotReady(failure or "The model is loading.")
        status = engine.status()
        if status.phase is Phase.FAILED:
            self._replace_later(engine)
            raise EngineNotReady(status.message)
        if status.phase not in (Phase.READY, Phase.WORKING):
            raise EngineNotReady(f"The model is loading. {status.message}".rstrip())
        self._retry_delay_s = RETRY_DELAY_S
        return engine

    def _replace_later(self, failed: Engine) -> None:
        """On a thread, because closing an engine takes time."""
        with self._lock:
            now_s = self._clock()
            if now_s < self._retry_at_s:
                return
            self._retry_at_s = now_s + self._retry_delay_s
            self._retry_delay_s = min(self._retry_delay_s * 2, MAX_RETRY_DELAY_S)
        threading.Thread(target=self.replace, args=(failed,), name="http-engine-end", daemon=True).start()

    def replace(self, ended: Engine) -> None:
        """Create another engine, because ``ended`` cannot answer any more. Further calls for it have no effect."""
        with self._lock:
            if self._engine is not ended:
                return
            self._engine = None
        logger.warning("the engine has ended; it is created again")
        ended.close()
        self.start()

    def close(self) -> None:
        """End the engine. Idempotent."""
        with self._lock:
            self._is_closed, engine, self._engine = True, self._engine, None
        if engine is not None:
            engine.close()

    def _create(self) -> None:
        try:
            engine = self._factory(self._settings)
            if engine.status().phase is Phase.LOADING:
                engine.start()
        except StarcoderError as error:
            logger.error("%s", error)
            failure = str(error)
        except Exception:
            logger.exception("the engine cannot be created")
            failure = "The engine cannot be created; `starcoder-ls logs` has the details."
        else:
            failure = ""
        if failure:
            with self._lock:
                self._failure = failure
            return
        with self._lock:
            is_closed, self._engine = self._is_closed, None if self._is_closed else engine
        if is_closed:
            engine.close()
