from __future__ import annotations

import os
import signal
import subprocess
import sys

from starcoder_ls.commands import processes


def no_sleep(_: float) -> None:
    raise AssertionError("it waits for a process that has ended")


def test_zombie_counts_as_ended_without_waiting() -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])  # not reaped, as in a container whose init reaps nothing
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert processes.wait_for_exit(child.pid, is_killed=False, sleep=no_sleep)
    child.wait()


def test_process_that_does_not_answer_is_killed() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    assert processes.wait_for_exit(child.pid, is_killed=True)
    assert child.wait() == -signal.SIGKILL
    assert child.stdin is not None
    child.stdin.close()
