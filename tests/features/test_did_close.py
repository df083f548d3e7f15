from __future__ import annotations

from fakes import ScriptedEngine
from harness import URI, async_test, initialized_client, wait_until


@async_test
async def test_close_cancels_requests_and_forgets_the_document() -> None:
    engine = ScriptedEngine([[f"word{i} " for i in range(50)]], token_s=0.02)
    async with initialized_client(engine) as client:
        client.open(URI, "x = ")
        pending = client.inline_completion(URI, 0, 4)
        await wait_until(lambda: engine.steps >= 1)
        client.notify("textDocument/didClose", {"textDocument": {"uri": URI}})
        assert await pending is None
        assert engine.requests[0].cancel.is_set()
        assert await client.inline_completion(URI, 0, 4) is None
        assert len(engine.requests) == 1


@async_test
async def test_close_of_an_unknown_document_is_ignored() -> None:
    async with initialized_client(ScriptedEngine()) as client:
        client.notify("textDocument/didClose", {"textDocument": {"uri": URI}})
        client.open(URI, "x = ")
        assert await client.inline_completion(URI, 0, 4)
