"""Daemons that no longer respond, and documents that make them fail: real processes with a scripted engine.

The environment variable ``STARCODER_LS_FAULTS`` sets the repetitions (default 1); each waits for the 5 s of patience.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from harness import URI, async_test
from starcoder_ls.daemon.daemon_failures import HANG_TEXT
from starcoder_ls.lsp.client import ResponseFailed
from windows import (
    SLOW_ENGINE,
    daemons,
    first_suggestion,
    is_clean,
    open_window,
    shown_messages,
    wait_for,
    wait_for_phase,
)

REPETITIONS = int(os.environ.get("STARCODER_LS_FAULTS", "1"))
STOP_COMMAND = [sys.executable, "-m", "starcoder_ls", "stop"]
POISONED = "file:///work/poisoned.py"


@pytest.mark.slow
@async_test
async def test_stopped_daemon_is_replaced_and_its_requests_are_answered(runtime_folder: Path) -> None:
    for _ in range(REPETITIONS):
        async with open_window(SLOW_ENGINE) as first, open_window(SLOW_ENGINE) as second:
            (victim,) = daemons(runtime_folder)
            victim.suspend()
            automatic = first.inline_completion(URI, 0, 4)
            with pytest.raises(ResponseFailed, match="did not respond"):
                await second.request("workspace/executeCommand", {"command": "none"})
            assert await automatic is None
            for window in (first, second):
                assert first_suggestion(await window.inline_completion(URI, 0, 4))
                assert shown_messages(window) == [f"StarCoder: {HANG_TEXT}"]
            (successor,) = daemons(runtime_folder)
            assert successor.pid != victim.pid
        await asyncio.to_thread(subprocess.run, STOP_COMMAND, check=True, capture_output=True)


@pytest.mark.slow
@pytest.mark.usefixtures("runtime_folder")
@pytest.mark.parametrize("effects", [("exit", "exit"), ("loop", "regex")], ids=["exits", "hangs"])
@async_test
async def test_document_that_fails_twice_is_quarantined(effects: tuple[str, str]) -> None:
    engine: dict[str, Any] = {**SLOW_ENGINE, "poison": dict(zip(("venom", "toxin"), effects, strict=True))}
    async with open_window(engine) as window, open_window(engine) as other:
        window.open(POISONED, "venom = ")
        assert await window.inline_completion(POISONED, 0, 8) is None
        await wait_for_phase(window, "ready")
        window.change(POISONED, 2, {"text": "toxin = "})
        document = {"textDocument": {"uri": POISONED}}
        while (status := await window.request("starcoder/documentStatus", document))["status"] != "excluded":
            assert await window.inline_completion(POISONED, 0, 8) is None
            await wait_for_phase(window, "ready")
        assert status["reason"].startswith("poisoned.py made the model's process fail 2 times")
        assert await window.inline_completion(POISONED, 0, 8) is None
        for client in (window, other):
            await wait_for_phase(client, "ready")
            assert first_suggestion(await client.inline_completion(URI, 0, 4))
        assert f"StarCoder: {status['reason']}" in shown_messages(window)
        assert not [text for text in shown_messages(other) if "poisoned.py" in text]


@pytest.mark.slow
@async_test
async def test_stop_ends_daemons_that_do_not_respond(runtime_folder: Path) -> None:
    async with open_window(SLOW_ENGINE) as window:
        (victim,) = daemons(runtime_folder)
        await window.shutdown()
    victim.suspend()
    done = await asyncio.to_thread(subprocess.run, STOP_COMMAND, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, f"process {victim.pid} has ended\n")
    await wait_for(lambda: is_clean(runtime_folder))
