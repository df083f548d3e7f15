from __future__ import annotations

import asyncio

from fakes import ScriptedEngine
from harness import URI, async_test, initialized_client, wait_until
from starcoder_ls.lsp.client import ResponseFailed


@async_test
async def test_running_requests_get_their_response_before_shutdown() -> None:
    engine = ScriptedEngine([[f"word{i} " for i in range(500)]], token_s=0.02)
    async with initialized_client(engine) as client:
        client.open(URI, "x = ")
        pending = client.inline_completion(URI, 0, 4)
        await wait_until(lambda: engine.steps >= 1)
        order: list[str] = []
        pending.future.add_done_callback(lambda _: order.append("completion"))
        down = client.request("shutdown")
        down.future.add_done_callback(lambda _: order.append("shutdown"))
        answer, result = await asyncio.gather(pending.future, down.future, return_exceptions=True)
        assert isinstance(answer, ResponseFailed)
        assert answer.code == -32800
        assert result is None
        assert order == ["completion", "shutdown"]
        assert engine.requests[0].cancel.is_set()
