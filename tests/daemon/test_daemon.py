"""How a daemon ends. Real daemons with windows are in tests/e2e/test_sharing.py."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

PREPARATION = """
import re, socket, sys
from functools import partial
from pathlib import Path
from starcoder_ls.app import Server
from starcoder_ls.commands.resident import settings_of
from starcoder_ls.daemon import daemon, heartbeat
from starcoder_ls.lsp import watchdog
from starcoder_ls.settings import Settings

watchdog.ForcedExit = partial(watchdog.ForcedExit, 0.3)
listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[1])
listener.listen()
"""
IDLE_DAEMON_THAT_HANGS_AT_ITS_END = """
class HangingServer(Server):
    def close(self):
        re.match("(a*)*b", "a" * 60)

server = HangingServer(lambda _: None, Settings())
sys.exit(daemon.serve(server, listener.detach(), Path(sys.argv[1]), settings_of, idle_s=0.0))
"""
BUSY_DAEMON = """
class BusyServer(Server):
    def status(self):
        is_watched.append(True)
        if len(is_watched) > 1:
            print("busy", flush=True)
            while True:
                pass
        return super().status()

is_watched = []
heartbeat.INTERVAL_S = 0.0
server = BusyServer(lambda _: None, Settings())
sys.exit(daemon.serve(server, listener.detach(), Path(sys.argv[1]), settings_of, idle_s=600.0))
"""
"""Its loop does not return from the second heartbeat."""


@pytest.mark.skipif(sys.platform != "linux", reason="needs a timer of Linux")
def test_orderly_end_has_exit_code_0_though_no_thread_can_run(tmp_path: Path) -> None:
    """A thread that holds the GIL has the same effect as a machine too busy to start the thread of a forced exit."""
    done = subprocess.run(command_of(IDLE_DAEMON_THAT_HANGS_AT_ITS_END, tmp_path), capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.skipif(sys.platform != "linux", reason="needs a timer of Linux")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_ends_a_daemon_with_exit_code_0_though_its_loop_is_busy(number: int, tmp_path: Path) -> None:
    with subprocess.Popen(command_of(BUSY_DAEMON, tmp_path), stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"busy\n"
        while process.poll() is None:  # CPython 3.11 can overlook a signal that arrives while a thread takes the GIL
            process.send_signal(number)
            time.sleep(0.05)
        assert process.returncode == 0


def command_of(daemon: str, folder: Path) -> list[str]:
    return [sys.executable, "-c", PREPARATION + daemon, str(folder / "daemon.sock")]
