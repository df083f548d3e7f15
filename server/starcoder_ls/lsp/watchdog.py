"""Ends this process when its parent is gone, and when an orderly end takes too long."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
from collections.abc import Callable

import psutil

logger = logging.getLogger(__name__)

POLL_S = 0.5
FORCED_EXIT_S = 1.9
"""Editors wait about 3 s for a server to end. A busy device or a library's exit handlers must not delay it longer."""

CLOSE_TIMEOUT_S = 1.0


class ForcedExit:
    """Ends the process ``seconds`` after ``arm``, unless it has ended by then. Thread-safe."""

    def __init__(self, seconds: float = FORCED_EXIT_S) -> None:
        self._exit_code = 1
        self._timer = threading.Timer(seconds, lambda: os._exit(self._exit_code))
        self._timer.daemon = True
        self._lock = threading.Lock()
        self._is_armed = False

    def arm(self, exit_code: int) -> None:
        """Start the countdown. Later calls only change the exit code."""
        with self._lock:
            self._exit_code = exit_code
            if not self._is_armed:
                self._is_armed = True
                self._timer.start()


async def close_in_time(close: Callable[[], None]) -> None:
    """Run ``close``, which ends the engine and joins its thread, and wait up to ``CLOSE_TIMEOUT_S`` for it.

    All servers end with this, after they have armed a ``ForcedExit``.
    """
    closing = threading.Thread(target=close, name="engine-close", daemon=True)
    closing.start()
    await asyncio.to_thread(closing.join, CLOSE_TIMEOUT_S)


def watch_parent(process_id: int, on_exit: Callable[[], None]) -> None:
    """Call ``on_exit`` in another thread after the process with this id has ended.

    A process that does not exist is not watched: in a container the editor's process id is meaningless, and the end of
    the input has the same effect. A reused id is detected by the process's start time.
    """
    try:
        parent = psutil.Process(process_id)
    except (psutil.Error, OverflowError):
        logger.info("the parent process %d is not visible here; only the end of the input is watched", process_id)
        return
    threading.Thread(target=_poll_parent, args=(parent, on_exit), name="parent-watch", daemon=True).start()


def _poll_parent(parent: psutil.Process, on_exit: Callable[[], None]) -> None:
    while _is_alive(parent):
        time.sleep(POLL_S)
    logger.warning("the parent process %d has ended", parent.pid)
    on_exit()


def _is_alive(process: psutil.Process) -> bool:
    """A zombie counts as ended: only its own parent has not noticed yet."""
    try:
        return bool(process.is_running()) and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
    except psutil.Error:
        return True
