from __future__ import annotations

import signal
import subprocess
import sys
import time

import psutil

from starcoder_ls.commands import processes


def test_a_process_that_has_ended_but_was_not_fetched_has_ended() -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])  # nobody waits for it, as in a container whose init does not
    while psutil.Process(child.pid).status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.01)
    began_s = time.monotonic()
    assert processes._has_ended(child.pid, is_asked=True)
    assert time.monotonic() - began_s < 2.0
    child.wait()


def test_a_process_that_does_not_answer_is_killed() -> None:
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    assert processes._has_ended(child.pid, is_asked=False)
    assert child.wait() == -signal.SIGKILL
