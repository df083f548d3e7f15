from __future__ import annotations

import asyncio
import faulthandler
import os
import subprocess
import sys

import pytest

from starcoder_ls.daemon.activity import PATIENCE_S, ActivityReader, ActivityWriter
from starcoder_ls.daemon.heartbeat import (
    LOADING_PATIENCE_S,
    LOADING_WATCHDOG_S,
    SHUTDOWN_TIMEOUT_S,
    WATCHDOG_MARGIN_S,
    Heartbeat,
    arm_watchdog,
)


def test_watchdog_waits_longer_while_loading_and_for_windows() -> None:
    activity = ActivityWriter()
    is_loading, has_windows = True, False
    armed: list[float | None] = []

    def create() -> Heartbeat:
        return Heartbeat(activity, lambda: is_loading, lambda: has_windows, armed.append)

    async def run() -> None:
        nonlocal is_loading, has_windows
        heartbeat = create()
        heartbeat.start()
        reader = ActivityReader(os.dup(activity.descriptor))
        assert reader.patience_s == LOADING_PATIENCE_S
        heartbeat.stop(is_exit_certain=False)
        is_loading, has_windows = False, True
        heartbeat.start()
        assert len(armed) == 2, "it was stopped"
        heartbeat = create()
        heartbeat.start()
        assert reader.patience_s == PATIENCE_S
        heartbeat.stop(is_exit_certain=True)

    asyncio.run(run())
    assert armed == [LOADING_WATCHDOG_S, SHUTDOWN_TIMEOUT_S, PATIENCE_S + WATCHDOG_MARGIN_S, None]


def test_watchdog_ends_a_process_whose_gil_is_held_by_a_regex() -> None:
    setup = "import re\nfrom starcoder_ls.daemon import heartbeat\nheartbeat.arm_watchdog(0.1)\n"
    script = setup + "re.match('(a*)*b', 'a' * 60)"
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, check=False).returncode == 1


def test_watchdog_is_stopped_by_none(monkeypatch: pytest.MonkeyPatch) -> None:
    stops: list[bool] = []
    monkeypatch.setattr(faulthandler, "cancel_dump_traceback_later", lambda: stops.append(True))
    arm_watchdog(None)
    assert stops == [True]
