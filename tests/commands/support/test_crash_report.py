from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from starcoder_ls.commands import processes
from starcoder_ls.commands.support import crash_report, log_file

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there is no daemon")

HANG = """
import re
from functools import partial
from starcoder_ls.commands.support import crash_report
from starcoder_ls.commands.support.log_file import log_file
from starcoder_ls.daemon.heartbeat import arm_watchdog

log_file().parent.mkdir(parents=True, exist_ok=True)
log_file().touch()
file = crash_report.open_file()
{end}
def search_for_ever():
    re.match("(a*)*b", "a" * 60)
search_for_ever()
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return log_file.log_file().parent


def hang(end: str) -> None:
    """Run a process that hangs in a regex; ``end`` is code that lets it be ended."""
    done = subprocess.run([sys.executable, "-c", HANG.format(end=end)], capture_output=True, check=False)
    assert done.returncode != 0
    assert done.stderr == b""


def test_traceback_of_a_hung_daemon_is_shown_by_logs_and_moved_to_the_log(
    folder: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    hang("arm_watchdog(0.1, file)")
    assert processes.logs(10) == 0
    shown = capsys.readouterr().out
    assert "crashed or did not respond; this is what its threads did:\n    | Timeout (" in shown
    assert " in search_for_ever\n" in shown
    (report,) = folder.glob("traceback-*")
    assert report.stat().st_mode & 0o777 == 0o600
    with report.open("ab") as file:
        file.write(b"\x1b[31m fake\n")
    crash_report.log_ended()
    (record,) = caplog.records
    first, *lines = log_file.EscapingFormatter().format(record).split("\n")
    assert "ERROR" in first
    assert any(line.endswith("in search_for_ever") for line in lines)
    assert lines[-1] == "    | \\x1b[31m fake"
    assert all(line.startswith("    | ") for line in lines)
    assert not list(folder.glob("traceback-*"))
    assert crash_report.render() == ""


@pytest.mark.usefixtures("folder")
def test_window_that_ends_a_hung_daemon_makes_it_write_a_traceback() -> None:
    kill = "from starcoder_ls.daemon.liveness import end_process; end_process(int(sys.argv[1]), lambda: True)"
    command = f"[sys.executable, '-c', 'import sys, time; time.sleep(0.3); {kill}', str(os.getpid())]"
    hang(f"import os, subprocess, sys\nsubprocess.Popen({command})")
    assert " in search_for_ever\n" in crash_report.render()


def test_file_of_a_running_process_is_left_alone(folder: Path) -> None:
    folder.mkdir(parents=True)
    running = folder / f"traceback-{os.getppid()}.txt"
    running.write_text("x")
    (folder / "traceback-x.txt").write_text("x")
    crash_report.log_ended()
    assert running.exists()
    assert crash_report.render() == ""
