from __future__ import annotations

import asyncio
import threading

import pytest

from harness import async_test
from starcoder_ls.errors import EngineClosed
from starcoder_ls.generation import Chunk, FinishReason, Timings
from starcoder_ls.output_stream import OutputStream


def test_output_stream_keeps_the_order_of_chunks_end_and_error() -> None:
    async def scenario() -> list[object]:
        stream = OutputStream()

        def produce() -> None:
            for output in ((Chunk("a"),), None, EngineClosed("gone")):
                stream.put(output)

        threading.Thread(target=produce).start()
        received: list[object] = [await stream.chunks(), await stream.chunks()]
        with pytest.raises(EngineClosed, match="gone"):
            await stream.chunks()
        return received

    assert asyncio.run(scenario()) == [(Chunk("a"),), None]


@async_test
async def test_end_after_the_last_chunk_does_not_wake_the_loop_again() -> None:
    stream = OutputStream()
    last = Chunk("a", finish_reason=FinishReason.LENGTH, timings=Timings())
    stream.put((last,))
    stream.put(None)
    assert await stream.chunks() == (last,)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(stream.chunks(), 0.01)


def test_output_for_a_closed_event_loop_is_dropped() -> None:
    async def create() -> OutputStream:
        return OutputStream()

    asyncio.run(create()).put((Chunk("late"),))
