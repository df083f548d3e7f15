"""The daemon's idle time and its end. Real daemons with windows are in tests/e2e/test_sharing.py."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from starcoder_ls.daemon.daemon import IdleTimer

IDLE_DAEMON_THAT_HANGS_AT_ITS_END = """
import re, socket, sys
from functools import partial
from pathlib import Path
from starcoder_ls.app import Server
from starcoder_ls.commands.resident import settings_of
from starcoder_ls.daemon import daemon
from starcoder_ls.lsp import watchdog
from starcoder_ls.settings import Settings

class HangingServer(Server):
    def close(self):
        re.match("(a*)*b", "a" * 60)

watchdog.ForcedExit = partial(watchdog.ForcedExit, 0.3)
listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[1])
listener.listen()
server = HangingServer(lambda _: None, Settings())
sys.exit(daemon.serve(server, listener.detach(), Path(sys.argv[1]), settings_of, idle_s=0.0))
"""


class FakeClock:
    def __init__(self) -> None:
        self.now_s = 50.0

    def __call__(self) -> float:
        return self.now_s


def test_idle_timer_expires_after_the_idle_time_without_clients() -> None:
    clock = FakeClock()
    timer = IdleTimer(10.0, clock)
    clock.now_s += 10.0
    assert not timer.is_expired(has_clients=False)
    clock.now_s += 0.1
    assert timer.is_expired(has_clients=False)


def test_idle_timer_starts_again_when_clients_have_left() -> None:
    clock = FakeClock()
    timer = IdleTimer(10.0, clock)
    clock.now_s += 100.0
    assert not timer.is_expired(has_clients=True)
    clock.now_s += 9.0
    assert not timer.is_expired(has_clients=False)
    timer.restart()
    clock.now_s += 9.0
    assert not timer.is_expired(has_clients=False)
    clock.now_s += 2.0
    assert timer.is_expired(has_clients=False)


@pytest.mark.skipif(sys.platform != "linux", reason="needs a timer of Linux")
def test_orderly_end_has_exit_code_0_though_no_thread_can_run(tmp_path: Path) -> None:
    """A thread that holds the GIL has the same effect as a machine too busy to start the thread of a forced exit."""
    command = [sys.executable, "-c", IDLE_DAEMON_THAT_HANGS_AT_ITS_END, str(tmp_path / "daemon.sock")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
