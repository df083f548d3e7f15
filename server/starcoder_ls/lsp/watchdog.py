"""Ends this process when its parent is gone, and when an orderly end takes too long."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
from collections.abc import Callable

import psutil

from starcoder_ls.lsp.exit_timer import ExitTimer

logger = logging.getLogger(__name__)

POLL_S = 0.5
FORCED_EXIT_S = 1.9
"""Editors wait about 3 s for a server to end. A busy device or a library's exit handlers must not delay it longer."""

CLOSE_TIMEOUT_S = 1.0

StartTimer = Callable[[int, float], ExitTimer]
"""Starts a timer for an exit code and seconds. Raises OSError."""


class ForcedExit:
    """Ends the process ``seconds`` after ``arm``, unless it has ended by then. Thread-safe."""

    def __init__(self, seconds: float = FORCED_EXIT_S, start_timer: StartTimer = ExitTimer) -> None:
        self._seconds, self._start_timer = seconds, start_timer
        self._lock = threading.Lock()
        self._exit_code = 1
        self._deadline_s: float | None = None
        self._timer: ExitTimer | None = None
        self._thread: threading.Timer | None = None

    def arm(self, exit_code: int) -> bool:
        """Start the countdown; later calls only change the exit code.

        Returns whether the exit is certain. Where the system has no timer for it, a Python thread ends the process:
        late or never while another thread holds the GIL.
        """
        with self._lock:
            self._exit_code, previous, self._timer = exit_code, self._timer, None
            if self._deadline_s is None:
                self._deadline_s = time.monotonic() + self._seconds
            delay_s = self._deadline_s - time.monotonic()
            try:
                self._timer = self._start_timer(exit_code, delay_s)
            except OSError as error:
                logger.info("a Python thread has to end the process: %s", error)
                self._start_thread(delay_s)
            if previous is not None:
                previous.cancel()
            return self._timer is not None

    def _start_thread(self, delay_s: float) -> None:
        if self._thread is None:
            self._thread = threading.Timer(delay_s, lambda: os._exit(self._exit_code))
            self._thread.daemon = True
            self._thread.start()


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
