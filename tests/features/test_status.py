from __future__ import annotations

import time

from fakes import ScriptedEngine
from harness import async_test, initialized_client


@async_test
async def test_status_is_the_engines_status() -> None:
    async with initialized_client(ScriptedEngine()) as client:
        expected = {
            "adapters": [],
            "phase": "ready",
            "message": "",
            "model": "scripted",
            "device": "cpu",
            "progress": 1.0,
            "workspace": {"indexedFiles": 0, "isIndexed": True},
            "memoryBytes": 0,
        }
        status = await client.request("starcoder/status")
        sharing = status.pop("sharing")
        assert status == expected
        assert (sharing["isShared"], sharing["windows"]) == (False, 1)
        assert 0 <= time.time() - sharing["startedAt"] < 60


@async_test
async def test_status_request_works_while_loading() -> None:
    async with initialized_client(ScriptedEngine(load_s=5), is_ready=False) as client:
        status = await client.request("starcoder/status", {"anything": 1})
        assert status["phase"] == "loading"
        assert status["message"]
