from __future__ import annotations

import json

from fakes import SCRIPTED_SETTINGS, ScriptedEngine
from harness import INLINE_COMPLETION, URI, async_test, connect_client, initialized_client, wait_until_ready
from starcoder_ls.app import Server


@async_test
async def test_stats_count_answers_by_source_and_contain_no_text() -> None:
    async with initialized_client(ScriptedEngine([["secret_name", "\n"]])) as client:
        client.open(URI, "x = ")
        assert await client.inline_completion(URI, 0, 4)
        assert await client.inline_completion(URI, 0, 4)
        stats = await client.request("starcoder/stats")
        assert stats["answers"] == {"model": 1, "resumed": 0, "memory": 1, "ahead": 0}
        assert stats["last"]["source"] == "memory"
        assert stats["last"]["elapsed_ms"] < 50
        assert stats["without_model_percent"] == 50.0
        assert set(stats["ms"]) == {"p50", "p95", "p99"}
        assert "secret" not in json.dumps(stats)


@async_test
async def test_stats_cover_all_connections_of_a_server() -> None:
    engine = ScriptedEngine()
    server = Server(lambda _: engine, SCRIPTED_SETTINGS)
    async with connect_client(server) as one, connect_client(server) as other:
        for client in (one, other):
            await client.initialize({}, INLINE_COMPLETION)
            await wait_until_ready(client)
            client.open(URI, "x = ")
            await client.inline_completion(URI, 0, 4)
        stats = await one.request("starcoder/stats")
        assert stats["answers"]["model"] == 2
        assert len({request.client for request in engine.requests if request.max_new_tokens}) == 2
    server.close()
