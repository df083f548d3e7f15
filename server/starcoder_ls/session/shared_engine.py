"""The one engine of this process, from the first client's choice of a model to the end.

Decides that the first choice stands and that a failed start is a status like any other. Refuses to know clients,
and what an engine is made of.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from starcoder_ls.errors import StarcoderError
from starcoder_ls.generation import Engine, Phase, Status
from starcoder_ls.settings import Model, Settings

logger = logging.getLogger(__name__)

Listener = Callable[[Status], None]


class SharedEngine:
    """Safe from any thread. ``engine_for`` runs in a thread of its own: it may import torch, which takes seconds."""

    def __init__(self, engine_for: Callable[[Settings], Engine]) -> None:
        self._engine_for = engine_for
        self._lock = threading.Lock()
        self._listeners: list[Listener] = []
        self._engine: Engine | None = None
        self._status = Status(Phase.LOADING, message="The model has not been chosen yet.")
        self._is_closed = False
        self.model: Model | None = None

    def choose(self, settings: Settings) -> bool:
        """Start the engine, unless it runs. False if it runs another model than that of ``settings``."""
        with self._lock:
            if self.model is not None:
                return self.model == settings.model
            self.model = settings.model
            self._status = Status(Phase.LOADING, message="Starting.", model=settings.model.name)
        threading.Thread(target=self._start, args=(settings,), name="engine-start", daemon=True).start()
        return True

    @property
    def ready(self) -> Engine | None:
        """The engine, if it can be asked now."""
        engine = self._engine
        if engine is not None and engine.status().phase in (Phase.READY, Phase.WORKING):
            return engine
        return None

    def status(self) -> Status:
        engine = self._engine
        return engine.status() if engine is not None else self._status

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Call ``listener`` on every change, from any thread; the answer unsubscribes."""
        with self._lock:
            self._listeners.append(listener)
        return lambda: self._unsubscribe(listener)

    def close(self) -> None:
        """End the engine and wait for it. Idempotent."""
        with self._lock:
            self._is_closed = True
            engine = self._engine
        if engine is not None:
            engine.close()

    def _start(self, settings: Settings) -> None:
        try:
            engine = self._engine_for(settings)
        except StarcoderError as error:
            self._fail(str(error), settings.model)
            return
        except Exception as error:  # noqa: BLE001 - nothing above us in this thread would tell the user
            logger.error("the engine cannot start: %s: %s", type(error).__name__, error)
            self._fail(f"The model cannot be started ({type(error).__name__}). The log says more.", settings.model)
            return
        engine.subscribe(self._tell)
        with self._lock:
            self._engine = engine
            is_late = self._is_closed
        if is_late:
            engine.close()
        else:
            engine.start()
            self._tell(engine.status())

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
