"""The flag that cancels a request: an engine checks it between two steps, or is called when it is set."""

from __future__ import annotations

import threading
from collections.abc import Callable


class CancelFlag:
    """A flag that any thread may set once. An engine checks it before every step, or registers with ``on_set``."""

    __slots__ = ("_callbacks", "_is_set", "_lock")

    def __init__(self) -> None:
        self._is_set = False
        self._lock = threading.Lock()
        self._callbacks: list[Callable[[], object]] = []

    def set(self) -> None:
        """Set the flag and run the registered callbacks in this thread; nothing the second time."""
        with self._lock:
            self._is_set, callbacks, self._callbacks = True, self._callbacks, []
        for callback in callbacks:
            callback()

    def is_set(self) -> bool:
        return self._is_set

    def on_set(self, callback: Callable[[], object]) -> Callable[[], None]:
        """Call ``callback`` once when the flag is set, from the thread that sets it; at once if it is set already.

        It must not block and must not raise. The returned function unregisters it.
        """
        with self._lock:
            if not self._is_set:
                self._callbacks.append(callback)
                return lambda: self._remove(callback)
        callback()
        return lambda: None

    def _remove(self, callback: Callable[[], object]) -> None:
        with self._lock:
            if callback in self._callbacks:
                self._callbacks.remove(callback)
