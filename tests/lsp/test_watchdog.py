from __future__ import annotations

import subprocess
import sys
import threading
import time

import pytest

from harness import async_test
from starcoder_ls.lsp import watchdog


def test_parent_that_is_a_zombie_counts_as_ended() -> None:
    parent = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    has_ended = threading.Event()
    watchdog.watch_parent(parent.pid, has_ended.set)
    assert not has_ended.wait(2 * watchdog.POLL_S)
    parent.kill()
    assert has_ended.wait(300)
    parent.wait()


def test_forced_exit_is_earlier_than_an_editors_timeout() -> None:
    assert watchdog.POLL_S + watchdog.FORCED_EXIT_S < 3


FORCED_EXIT = """
import time
from starcoder_ls.lsp.watchdog import ForcedExit

def fail(*_):
    raise OSError("no timer")

forced = ForcedExit(0.3{option})
assert [forced.arm(1), forced.arm(7)] == [{is_certain}] * 2
time.sleep(3600)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs a timer of Linux")
def test_forced_exit_ends_a_hanging_process_with_the_latest_code() -> None:
    code = FORCED_EXIT.format(option="", is_certain=True)
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 7


def test_forced_exit_without_a_system_timer_uses_a_thread() -> None:
    code = FORCED_EXIT.format(option=", fail", is_certain=False)
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 7


@async_test
async def test_close_that_hangs_is_not_awaited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watchdog, "CLOSE_TIMEOUT_S", 0.01)
    never = threading.Event()
    await watchdog.close_in_time(lambda: bool(never.wait()))
    never.set()


@async_test
async def test_close_is_awaited() -> None:
    calls: list[str] = []

    def close() -> None:
        time.sleep(0.05)
        calls.append("closed")

    await watchdog.close_in_time(close)
    assert calls == ["closed"]
