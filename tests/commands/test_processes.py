from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from starcoder_ls.commands import processes


def no_sleep(_: float) -> None:
    raise AssertionError("it waits for a process that has ended")


def test_zombie_counts_as_ended_without_waiting() -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])  # not reaped, as in a container whose init reaps nothing
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert processes.wait_for_exit(child.pid, is_killed=False, sleep=no_sleep)
    child.wait()


MAIN_THREAD_ENDS = """
import ctypes, sys, threading
threading.Thread(target=sys.stdin.read).start()
ctypes.CDLL(None).pthread_exit(None)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux shows the threads of a zombie")
def test_zombie_with_a_running_thread_has_not_ended() -> None:
    child = subprocess.Popen([sys.executable, "-c", MAIN_THREAD_ENDS], stdin=subprocess.PIPE)
    process = psutil.Process(child.pid)
    while process.status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.01)
    waits = []

    def sleep(duration_s: float) -> None:
        assert child.stdin is not None
        child.stdin.close()  # the thread ends
        waits.append(duration_s)
        time.sleep(duration_s)

    assert processes.wait_for_exit(child.pid, is_killed=False, sleep=sleep)
    assert waits
    child.wait()


def test_process_that_does_not_answer_is_killed() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    assert processes.wait_for_exit(child.pid, is_killed=True)
    assert child.wait() == -signal.SIGKILL
    assert child.stdin is not None
    child.stdin.close()
