"""Those who are notified of each new status of an engine."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from starcoder_ls.generation import Status

Listener = Callable[[Status], None]

_log = logging.getLogger(__name__)


class StatusListeners:
    """Every method may be called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._listeners: list[Listener] = []
        self._last: Status | None = None

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Call ``listener`` with each new status. The returned function unsubscribes it."""
        with self._lock:
            self._listeners.append(listener)
        return lambda: self._unsubscribe(listener)

    def notify(self, status: Status) -> None:
        """Call the listeners in this thread, unless ``status`` is the one that they know. A listener that raises is
        logged."""
        with self._lock:
            is_known, self._last = status == self._last, status
            listeners = () if is_known else tuple(self._listeners)
        for listener in listeners:
            try:
                listener(status)
            except Exception:  # noqa: BLE001 - a listener's bug is no reason to stop the engine
                _log.exception("a status listener failed")

    def _unsubscribe(self, listener: Listener) -> None:
        with self._lock:
            if listener in self._listeners:
                self._listeners.remove(listener)
