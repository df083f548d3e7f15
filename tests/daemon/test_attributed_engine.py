from __future__ import annotations

import asyncio
import os

from fakes import ScriptedEngine
from starcoder_ls.daemon import attributing_loop
from starcoder_ls.daemon.activity import ActivityReader, ActivityWriter, document_hash, entry
from starcoder_ls.daemon.attributed_engine import AttributedEngine
from starcoder_ls.generation import Phase, Request


def test_document_is_a_suspect_while_the_model_works_for_it() -> None:
    activity = ActivityWriter()
    activity.beat()
    reader = ActivityReader(os.dup(activity.descriptor))
    engine = AttributedEngine(ScriptedEngine(), activity)

    async def run() -> None:
        engine.start()
        while engine.status().phase is not Phase.READY:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        with attributing_loop.processing(activity, entry(3, "file:///a.py")):
            chunks = engine.stream(Request(("x",), 9))
            await anext(chunks)
        assert reader.suspects().entries == {(3, document_hash("file:///a.py"))}
        await chunks.aclose()
        assert not reader.suspects().entries
        async for _ in engine.stream(Request(("x",), 9)):  # a command's: no document
            assert not reader.suspects().entries

    asyncio.run(run())
    engine.close()
