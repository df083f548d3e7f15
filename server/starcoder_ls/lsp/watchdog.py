"""That this process ends when nobody needs it.

Decides when a parent counts as gone and how long an orderly end may take. Refuses to know sessions and engines.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable

import psutil

logger = logging.getLogger(__name__)

POLL_S = 0.5
LAST_EXIT_S = 1.9
"""A busy device or a library's exit handlers must not keep an orphan alive: editors give up after some 3 s."""


class LastExit:
    """Ends the process some time after it should have ended by itself. Safe from any thread."""

    def __init__(self, seconds: float = LAST_EXIT_S) -> None:
        self._exit_code = 1
        self._timer = threading.Timer(seconds, lambda: os._exit(self._exit_code))
        self._timer.daemon = True
        self._lock = threading.Lock()
        self._is_armed = False

    def arm(self, exit_code: int) -> None:
        """Count down from the first call on; later ones only change the exit code."""
        with self._lock:
            self._exit_code = exit_code
            if not self._is_armed:
                self._is_armed = True
                self._timer.start()


def watch_parent(process_id: int, gone: Callable[[], None]) -> None:
    """Call ``gone``, from a thread, once that process has ended.

    One that is not there now is not watched: in a container the editor's id means nothing, and the end of the input
    tells as much. A recycled id is noticed by its start time.
    """
    try:
        parent = psutil.Process(process_id)
    except (psutil.Error, OverflowError):
        logger.info("process %d, named as parent, is not visible here; watching the input only", process_id)
        return
    threading.Thread(target=_watch, args=(parent, gone), name="parent-watch", daemon=True).start()


def _watch(parent: psutil.Process, gone: Callable[[], None]) -> None:
    while _is_alive(parent):
        time.sleep(POLL_S)
    logger.warning("the parent process %d is gone", parent.pid)
    gone()


def _is_alive(process: psutil.Process) -> bool:
    """A zombie has ended; only its parent has not noticed."""
    try:
        return bool(process.is_running()) and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
    except psutil.Error:
        return True
