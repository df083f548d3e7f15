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


def test_forced_exit_ends_a_hanging_process_with_the_latest_code() -> None:
    code = (
        "import time\n"
        "from starcoder_ls.lsp.watchdog import ForcedExit\n"
        "forced = ForcedExit(0.3)\n"
        "forced.arm(1)\n"
        "forced.arm(7)\n"
        "time.sleep(3600)"
    )
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
