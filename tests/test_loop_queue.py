from __future__ import annotations

import asyncio
import threading

from harness import async_test
from starcoder_ls.loop_queue import LoopQueue


@async_test
async def test_items_of_another_thread_arrive_in_order() -> None:
    queue: LoopQueue[int] = LoopQueue()
    threading.Thread(target=lambda: [queue.put_from_thread(number) for number in range(100)]).start()
    assert [await queue.get() for _ in range(100)] == list(range(100))


@async_test
async def test_cancelled_reader_loses_no_item() -> None:
    queue: LoopQueue[int] = LoopQueue()
    reading = asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    queue.put(1)
    reading.cancel()
    queue.put(2)
    assert [await queue.get(), await queue.get()] == [1, 2]


def test_item_for_a_closed_loop_is_dropped() -> None:
    async def create() -> LoopQueue[int]:
        return LoopQueue()

    asyncio.run(create()).put_from_thread(1)
