from __future__ import annotations

import asyncio
import threading

import pytest

from starcoder_ls.errors import EngineClosed
from starcoder_ls.generation import Chunk
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


def test_output_for_a_closed_event_loop_is_dropped() -> None:
    async def create() -> OutputStream:
        return OutputStream()

    asyncio.run(create()).put((Chunk("late"),))
