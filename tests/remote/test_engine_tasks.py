from __future__ import annotations

import asyncio

from starcoder_ls.remote.engine_tasks import EngineTasks


async def wait_for_ever(log: list[str]) -> None:
    log.append("started")
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        log.append("cancelled")
        raise


def test_end_cancels_submitted_tasks_also_one_that_has_not_started() -> None:
    async def run() -> list[str]:
        tasks, log = EngineTasks(asyncio.get_running_loop()), list[str]()
        tasks.submit(wait_for_ever, log)
        await asyncio.sleep(0.01)
        tasks.submit(wait_for_ever, log)
        await tasks.cancel_all()
        return log

    assert sorted(asyncio.run(run())) == ["cancelled", "cancelled", "started", "started"]


def test_end_does_not_cancel_what_a_library_started() -> None:
    async def open_connection(log: list[str]) -> None:
        log.append("opened")

    async def run() -> list[str]:
        tasks, log = EngineTasks(asyncio.get_running_loop()), list[str]()
        opening = asyncio.get_running_loop().create_task(open_connection(log))
        await tasks.cancel_all()
        await opening
        return log

    assert asyncio.run(run()) == ["opened"]


def test_cancelled_future_cancels_its_task() -> None:
    async def run() -> list[str]:
        tasks, log = EngineTasks(asyncio.get_running_loop()), list[str]()
        future = tasks.submit(wait_for_ever, log)
        await asyncio.sleep(0.01)
        future.cancel()
        await asyncio.sleep(0.01)
        return log

    assert asyncio.run(run()) == ["started", "cancelled"]
