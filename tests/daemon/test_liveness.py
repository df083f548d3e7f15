from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

from starcoder_ls.daemon import liveness
from starcoder_ls.daemon.activity import PATIENCE_S, ActivityWriter
from starcoder_ls.daemon.liveness import MAX_TICK_S, TICK_S, LivenessMonitor, SilenceTimer


class ManualClock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def silences(clock: ManualClock, timer: SilenceTimer, ticks: list[tuple[float, int]]) -> list[float]:
    """The results of ticks after these delays in seconds, with these numbers of heartbeats."""
    results = []
    for delay_s, beats in ticks:
        clock.now_s += delay_s
        results.append(timer.tick(beats))
    return results


def test_silence_counts_ticks_since_the_last_heartbeat() -> None:
    clock = ManualClock()
    ticks = [(TICK_S, 1), (TICK_S, 1), (TICK_S, 1), (TICK_S, 2), (TICK_S, 2)]
    assert silences(clock, SilenceTimer(clock), ticks) == [0.0, TICK_S, 2 * TICK_S, 0.0, TICK_S]


def test_ticks_that_a_busy_machine_delays_do_not_count_more() -> None:
    clock = ManualClock()
    assert silences(clock, SilenceTimer(clock), [(1.9, 1)] * 3) == [0.0, TICK_S, 2 * TICK_S]


def test_suspended_window_starts_to_count_again() -> None:
    clock = ManualClock()
    ticks = [(TICK_S, 1)] * 5 + [(MAX_TICK_S + 1.0, 1), (TICK_S, 1)]
    assert silences(clock, SilenceTimer(clock), ticks)[-2:] == [0.0, TICK_S]


def test_monitor_reports_a_living_process_without_heartbeats_once() -> None:
    clock = ManualClock()
    activity = ActivityWriter()  # its lock is held by this process, for which a lock of its own is no obstacle
    activity.beat()

    monitor = LivenessMonitor(clock, sleep=lambda _: threading.Event().wait())
    monitor.attach(os.dup(activity.descriptor))
    shared = monitor.activity
    assert shared is not None
    shared.is_process_alive = lambda: True  # type: ignore[method-assign]
    reports = []
    for _ in range(int(PATIENCE_S / TICK_S) + 3):
        clock.now_s += TICK_S
        reports.append(monitor.check())
    assert [report for report in reports if report is not None] == [shared]
    assert reports[int(PATIENCE_S / TICK_S)] is shared


def test_daemon_without_shared_memory_is_not_watched() -> None:
    monitor = LivenessMonitor()
    monitor.attach(None)
    assert monitor.check() is None


def test_spinning_process_is_killed_after_it_ignored_sigterm() -> None:
    setup = "import faulthandler, re, signal; signal.signal(15, lambda *_: None); faulthandler.register(signal.SIGUSR1)"
    script = f"{setup}; print(flush=True); re.match('(a*)*b', 'a' * 60)"
    command = [sys.executable, "-c", script]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        assert liveness.end_process(child.pid, lambda: child.poll() is None)
        assert child.returncode == -signal.SIGKILL
        assert child.stderr is not None
        assert b"most recent call first" in child.stderr.read()


def test_process_that_is_no_longer_the_daemon_is_not_signalled() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    assert liveness.end_process(child.pid, lambda: False)
    assert child.poll() is None
    child.communicate(b"\n")
    assert child.returncode == 0
