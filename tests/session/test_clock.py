from __future__ import annotations

import threading

from starcoder_ls.session.clock import SystemClock


def test_system_clock_runs_timers_and_threads_outside_the_caller() -> None:
    clock, names, done = SystemClock(), list[str](), threading.Barrier(3)

    def record() -> None:
        names.append(threading.current_thread().name)
        done.wait(300)

    began_s = clock.monotonic()
    clock.start_thread("worker", record)
    clock.call_later(0.01, record)
    done.wait(300)
    assert "worker" in names
    assert len(names) == 2
    assert threading.current_thread().name not in names
    assert clock.monotonic() - began_s >= 0.01
