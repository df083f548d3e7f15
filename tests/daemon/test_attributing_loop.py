from __future__ import annotations

import asyncio
import os

from starcoder_ls.daemon import attributing_loop
from starcoder_ls.daemon.activity import ActivityReader, ActivityWriter, Suspects, document_hash, entry
from starcoder_ls.daemon.attributing_loop import AttributingLoop

A, B = "file:///a.py", "file:///b.py"


def test_tasks_and_timers_are_attributed_to_the_message_that_started_them() -> None:
    activity = ActivityWriter()
    activity.beat()
    reader = ActivityReader(os.dup(activity.descriptor))
    seen: list[tuple[str, Suspects]] = []

    async def work(name: str) -> None:
        for _ in range(2):
            await asyncio.sleep(0)
            seen.append((name, reader.suspects()))

    async def run() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, AttributingLoop)
        loop.activity = activity
        done = asyncio.Event()
        with attributing_loop.processing(activity, entry(1, A)):
            task = asyncio.create_task(work("a"))
        with attributing_loop.processing(activity, entry(2, B)):
            loop.call_later(0.0, lambda: (seen.append(("b", reader.suspects())), done.set()))
        await asyncio.gather(task, work("none"), done.wait())
        assert reader.suspects() == Suspects()

    with asyncio.Runner(loop_factory=AttributingLoop) as runner:
        runner.run(run())
    expected = {
        "a": Suspects(frozenset({(1, document_hash(A))}), is_exact=True),
        "b": Suspects(frozenset({(2, document_hash(B))}), is_exact=True),
        "none": Suspects(),
    }
    assert sorted({name for name, _ in seen}) == ["a", "b", "none"]
    assert all(suspects == expected[name] for name, suspects in seen)
