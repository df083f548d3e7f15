"""Detects in a window's process that the daemon no longer runs its event loop, and ends such a daemon.

Silence is counted in ticks of the window's own thread, so that a busy machine, which slows both, causes no false
alarm; a window that was suspended itself starts to count again.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable

from starcoder_ls.daemon.activity import PATIENCE_S, ActivityReader
from starcoder_ls.errors import DaemonError

TICK_S = 0.5
MAX_TICK_S = 2.0
"""A longer tick means that this process did not run, as after SIGSTOP or a suspended machine."""

TRACEBACK_SIGNAL = getattr(signal, "SIGUSR1", signal.SIGTERM)
"""A daemon writes the traceback of its threads when it gets this signal, also while C code holds the GIL."""

_TRACEBACK_S, _TERMINATE_S, _KILL_S, _POLL_S = 0.2, 1.0, 3.0, 0.02


class SilenceTimer:
    """Counts for how long the number of heartbeats has not changed."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._beats, self._ticks, self._last_tick_s = -1, 0, clock()

    def tick(self, beats: int) -> float:
        """Record the current number of ``beats``, about TICK_S after the last call. Returns the silence in seconds."""
        now_s = self._clock()
        was_suspended = now_s - self._last_tick_s > MAX_TICK_S
        self._ticks = 0 if was_suspended or beats != self._beats else self._ticks + 1
        self._beats, self._last_tick_s = beats, now_s
        return self._ticks * TICK_S


class LivenessMonitor:
    """Watches the daemon that this window is connected to, on a thread of its own.

    ``on_hang`` is called on that thread, once for each daemon.
    """

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._clock, self._sleep = clock, sleep
        self._lock = threading.Lock()
        self._activity: ActivityReader | None = None
        self._timer = SilenceTimer(clock)
        self._thread: threading.Thread | None = None
        self.on_hang: Callable[[ActivityReader], None] = lambda _: None

    @property
    def activity(self) -> ActivityReader | None:
        """The shared memory of the current daemon; None if it has none. It stays readable after the daemon's end."""
        return self._activity

    def attach(self, descriptor: int | None) -> None:
        """Watch the daemon whose shared memory is ``descriptor``, which this object owns from now on.

        Waits until ``on_hang`` has returned for the previous daemon.
        """
        activity = None
        if descriptor is not None:
            with contextlib.suppress(DaemonError):
                activity = ActivityReader(descriptor)
        with self._lock:
            previous, self._activity = self._activity, activity
            self._timer = SilenceTimer(self._clock)
            if previous is not None:
                previous.close()
        if activity is not None and self._thread is None:
            self._thread = threading.Thread(target=self._run, name="liveness", daemon=True)
            self._thread.start()

    def check(self) -> ActivityReader | None:
        """One tick. Returns the shared memory of the daemon if it hangs."""
        activity = self._activity
        if activity is None:
            return None
        silence_s = self._timer.tick(activity.beats)
        is_hung = silence_s >= activity.patience_s
        if not is_hung and not (silence_s >= PATIENCE_S and is_stopped(activity.pid)):
            return None
        self._timer = SilenceTimer(self._clock)
        return activity if activity.is_process_alive() else None

    def _run(self) -> None:
        while True:
            self._sleep(TICK_S)
            with self._lock:
                if (activity := self.check()) is not None:
                    self.on_hang(activity)


def is_stopped(process_id: int) -> bool:
    """Whether the process was stopped by a signal or a debugger. False where the system does not say."""
    try:
        with open(f"/proc/{process_id}/stat", encoding="ascii", errors="replace") as file:
            return file.read().rpartition(")")[2].split()[0] in "Tt"
    except (OSError, IndexError):
        return False


def end_process(process_id: int, is_alive: Callable[[], bool], sleep: Callable[[float], None] = time.sleep) -> bool:
    """End a process with SIGTERM, after 1 s with SIGKILL. Returns whether it has ended.

    Before, TRACEBACK_SIGNAL lets it write what its threads do; a process that does not handle that ends at once.
    ``is_alive`` says whether the process with this id is still the one that is meant. A process that spins in a C
    function, or that was stopped, never handles SIGTERM.
    """
    steps = ((TRACEBACK_SIGNAL, _TRACEBACK_S), (signal.SIGTERM, _TERMINATE_S), (signal.SIGKILL, _KILL_S))
    for number, timeout_s in steps:
        deadline_s = time.monotonic() + timeout_s
        if not is_alive():
            return True
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(process_id, number)
        while time.monotonic() < deadline_s:
            if not is_alive():
                return True
            sleep(_POLL_S)
    return not is_alive()
