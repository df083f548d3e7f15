"""Sizes of processes from /proc, against psutil."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import psutil
import pytest

from lib.soak.process_samples import SampleLog, processes_with_variable, read_sample

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def test_sample_agrees_with_psutil() -> None:
    block = bytearray(os.urandom(1)) * 50_000_000
    sample, memory = read_sample(os.getpid(), 1.5), psutil.Process().memory_full_info()
    assert sample is not None
    assert sample.time_s == 1.5
    assert sample.resident == pytest.approx(memory.rss, rel=0.05)
    assert sample.unique == pytest.approx(memory.uss, rel=0.05)
    assert sample.anonymous > len(block)
    assert sample.threads == threading.active_count() or sample.threads == psutil.Process().num_threads()
    assert sample.descriptors in range(psutil.Process().num_fds(), psutil.Process().num_fds() + 3)


def test_ended_process_has_no_sample() -> None:
    process = subprocess.Popen([sys.executable, "-S", "-c", ""])
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # a zombie
    log = SampleLog()
    log.record("zombie", process.pid, 0.0)
    process.wait()
    log.record("ended", process.pid, 1.0)
    assert log.as_json() == []


def test_processes_are_found_by_their_environment(tmp_path: Path) -> None:
    environment = {**os.environ, "SOAK_TEST": str(tmp_path)}
    with subprocess.Popen([sys.executable, "-S", "-c", "input()"], stdin=subprocess.PIPE, env=environment) as process:
        assert processes_with_variable("SOAK_TEST", str(tmp_path)) == [process.pid]
        process.kill()
