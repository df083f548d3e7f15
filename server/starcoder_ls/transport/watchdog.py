"""That this process ends when nobody needs it.

Decides when a parent counts as gone and how long an orderly end may take. Refuses to know sessions and engines.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable

import psutil

logger = logging.getLogger(__name__)

POLL_S = 0.5
LAST_EXIT_S = 2.2
"""A busy device or a library's exit handlers must not keep an orphan alive: editors give up after some 3 s."""


def leave_within(seconds: float, exit_code: int) -> None:
    """End the process after ``seconds`` whatever else happens; does nothing if it ended by itself."""
    timer = threading.Timer(seconds, os._exit, args=(exit_code,))
    timer.daemon = True
    timer.start()


def watch_parent(process_id: Callable[[], int | None], gone: Callable[[], None]) -> None:
    """Call ``gone``, from a thread, once the process that ``process_id`` names has ended.

    A process that does not exist at first is not watched: in a container the editor's id means nothing, and the end
    of the input tells as much. A recycled id is noticed by its start time.
    """
    watch = threading.Thread(target=_watch, args=(process_id, gone), name="parent-watch", daemon=True)
    watch.start()


def _watch(process_id: Callable[[], int | None], gone: Callable[[], None]) -> None:
    pause = threading.Event()
    while (wanted := process_id()) is None:
        pause.wait(POLL_S)
    try:
        parent = psutil.Process(wanted)
    except (psutil.Error, OverflowError):
        logger.info("process %d, named as parent, is not visible here; watching the input only", wanted)
        return
    while _is_alive(parent):
        pause.wait(POLL_S)
    logger.warning("the parent process %d is gone", wanted)
    gone()


def _is_alive(process: psutil.Process) -> bool:
    """A zombie has ended; only its parent has not noticed."""
    try:
        return bool(process.is_running()) and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
    except psutil.Error:
        return True
