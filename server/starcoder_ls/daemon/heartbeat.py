"""The daemon's signs of life, and the watchdog that ends the process when its event loop no longer runs.

A C function that holds the GIL, such as a regex match, keeps Python's signal handlers and threads from running.
``faulthandler`` has a watchdog thread in C, which needs no GIL: it is restarted with each heartbeat and ends the
process when it is not. Windows act earlier; the watchdog is for a daemon without windows.
"""

from __future__ import annotations

import asyncio
import faulthandler
import sys
from collections.abc import Callable
from typing import BinaryIO

from starcoder_ls.daemon.activity import PATIENCE_S, ActivityWriter

INTERVAL_S = 0.5
LOADING_PATIENCE_S = 20
"""How long windows wait for a sign of life while a model is loaded: the import of a library holds the GIL while a slow
disk reads it. Otherwise they wait for ``activity.PATIENCE_S``."""

WATCHDOG_MARGIN_S = 5.0
"""The watchdog waits longer than the windows, which answer their editors first."""
LOADING_WATCHDOG_S = 60.0
"""The watchdog goes by the clock, windows by steps of their own timers: on a machine that gives this process a tenth of
a core, importing a library takes ten times as long, and the process must not end for that."""
SHUTDOWN_TIMEOUT_S = 4.0
"""Only for systems on which no ``ExitTimer`` ends the process."""

ArmWatchdog = Callable[[float | None], None]
"""(Re)start a countdown of this many seconds to the end of the process; None stops it."""


def arm_watchdog(timeout_s: float | None, file: BinaryIO | None = None) -> None:
    """End the process with code 1 in ``timeout_s``, even if a thread holds the GIL, unless it is called again.

    The traceback of all threads is written to ``file``, or to standard error. SIGTERM changes the exit code to 0 as
    soon as Python's signal handler runs, not while C code keeps the loop's thread from that: a handler without Python
    would be a function of the C library, which gets the number of the signal and no countdown or exit code.
    """
    if timeout_s is None:
        faulthandler.cancel_dump_traceback_later()
        return
    faulthandler.dump_traceback_later(timeout_s, exit=True, file=file or sys.stderr)


class Heartbeat:
    """Beats on the running event loop from ``start`` to ``stop``.

    ``is_loading`` says whether a model is being loaded, ``has_windows`` whether windows watch the heartbeats.
    """

    def __init__(
        self,
        activity: ActivityWriter | None,
        is_loading: Callable[[], bool],
        has_windows: Callable[[], bool],
        arm: ArmWatchdog = arm_watchdog,
    ) -> None:
        self._activity, self._is_loading, self._has_windows, self._arm = activity, is_loading, has_windows, arm
        self._timer: asyncio.TimerHandle | None = None
        self._is_stopped = False

    def start(self) -> None:
        """Beat now and every INTERVAL_S."""
        if self._is_stopped:
            return
        is_loading = self._is_loading()
        if self._activity is not None:
            self._activity.beat(LOADING_PATIENCE_S if is_loading else PATIENCE_S)
        margin_s = WATCHDOG_MARGIN_S if self._has_windows() else 0.0
        self._arm(LOADING_WATCHDOG_S if is_loading else PATIENCE_S + margin_s)
        self._timer = asyncio.get_running_loop().call_later(INTERVAL_S, self.start)

    def stop(self, is_exit_certain: bool) -> None:
        """The process ends. If that is certain, the watchdog stops too: on a busy machine it could be the first, and
        an orderly end would have the exit code of a hang. May interrupt ``start``, in a signal handler."""
        self._is_stopped = True
        if self._timer is not None:
            self._timer.cancel()
        self._arm(None if is_exit_certain else SHUTDOWN_TIMEOUT_S)
