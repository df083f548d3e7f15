from __future__ import annotations

import asyncio
import logging

import pytest

from harness import async_test
from starcoder_ls.session.background_tasks import BackgroundTasks


@async_test
async def test_background_task_survives_the_cancellation_of_its_request() -> None:
    tasks, may_end = BackgroundTasks(), asyncio.Event()
    started: list[asyncio.Task[bool]] = []

    async def request() -> None:
        started.append(tasks.start(may_end.wait()))
        await asyncio.shield(started[0])

    running = asyncio.create_task(request())
    await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert not started[0].done()
    may_end.set()
    assert await started[0]


@async_test
async def test_cancel_all_cancels_running_tasks() -> None:
    tasks = BackgroundTasks()
    task = tasks.start(asyncio.Event().wait())
    tasks.cancel_all()
    with pytest.raises(asyncio.CancelledError):
        await task


@async_test
async def test_failed_background_task_logs_its_error_type_only(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)

    async def fail() -> None:
        raise ValueError("source code")

    task = BackgroundTasks().start(fail())
    await asyncio.wait([task])
    await asyncio.sleep(0)
    assert "a background task failed: ValueError" in caplog.text
    assert "source code" not in caplog.text
