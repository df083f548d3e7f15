"""The soak run itself, for seconds and with a scripted engine; and windows that break its rules."""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
import tempfile
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from lib.soak.request_ledger import RequestLedger
from lib.soak.window import Window, WindowOptions
from run import soak
from windows import QUICK_ENGINE, WINDOW_COMMAND

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

_READ_AND_EXIT = "import sys; sys.stdin.readline(); sys.exit(3)"


@pytest.mark.slow
def test_short_run_answers_every_request_and_leaves_no_process() -> None:
    command = [*WINDOW_COMMAND, json.dumps(QUICK_ENGINE)]
    options = soak.Options(1.0, 1, 30, command, has_adapters=False, sample_interval_s=0.2, fault_interval_s=4.0)
    options = replace(options, rest_interval_s=0.2, rest_s=0.2)
    with tempfile.TemporaryDirectory() as name:  # short: a socket's path has at most 100 bytes
        result = asyncio.run(soak.run(options, Path(name), Console(file=StringIO())))
    assert result["faults"] == []
    assert "steady daemon" in {process["name"] for process in result["rested"]}
    assert {process["name"] for process in result["processes"]} >= {"steady daemon", "steady human", "faults fast"}
    for group in result["groups"].values():
        assert group["sent"] == sum(group["outcomes"].values())
        assert group["methods"]["textDocument/inlineCompletion"] > 0


def test_window_that_ends_by_itself_is_reported_with_its_requests() -> None:
    async def scenario(ledger: RequestLedger) -> None:
        options = WindowOptions([sys.executable, "-S", "-c", _READ_AND_EXIT], os.environ, [Path(__file__)])
        stop = asyncio.Event()
        running = asyncio.create_task(Window("w", options, ledger, random.Random(1), 0.01).run(stop))
        while not ledger.failures:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        stop.set()
        await running

    ledger = RequestLedger()
    asyncio.run(scenario(ledger))
    assert "w ended by itself with exit code 3" in ledger.failures[0]
    assert "initialize" in {request["method"] for request in ledger.unanswered()}
