from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from starcoder_ls.commands import processes

ON_WINDOWS = """
import asyncio, concurrent.futures, logging.handlers, os, signal, socket, subprocess, sys, tempfile
import platformdirs, psutil, rich.console, rich.table, sysconfig, typer
sysconfig.get_config_vars()
sys.modules["fcntl"], sys.platform = None, "win32"
del os.getuid, os.uname, signal.SIGKILL, signal.SIGUSR1, socket.AF_UNIX
from starcoder_ls.__main__ import main
main()
"""
"""Runs a command without what Python lacks on Windows."""


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


def run_on_windows(command: str, home: Path) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"XDG_STATE_HOME": str(home)}
    return subprocess.run([sys.executable, "-c", ON_WINDOWS, command], env=environment, capture_output=True, text=True)


def test_logs_are_printed_on_windows(tmp_path: Path) -> None:
    log = tmp_path / "starcoder-ls" / "log" / "server.log"
    log.parent.mkdir(parents=True)
    log.write_text("first\nlast\n")
    result = run_on_windows("logs", tmp_path)
    assert (result.returncode, result.stdout) == (0, "first\nlast\n"), result.stderr


def test_daemons_are_refused_in_one_sentence_on_windows(tmp_path: Path) -> None:
    result = run_on_windows("ps", tmp_path)
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == "starcoder-ls: There is no daemon on Windows: each window has a server of its own.\n"
