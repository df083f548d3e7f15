from __future__ import annotations

from fakes import SCRIPTED, ScriptedEngine
from harness import GHOST, joined, scenario, told, until
from starcoder_ls.app import Server

ASKS_STATUS = {**GHOST, "experimental": {"starcoderStatus": True}}


@scenario
async def test_nothing_is_told_before_the_client_says_that_it_is_initialized() -> None:
    server = Server(lambda _: ScriptedEngine(failure="It is broken. Mend it."), SCRIPTED)
    async with joined(server) as client:
        await client.request("initialize", {"capabilities": ASKS_STATUS})
        while (await client.request("starcoder/status"))["phase"] != "failed":
            pass
        assert not client.notifications
        client.notify("initialized", {})
        await until(lambda: len(client.notifications) == 2)
        assert told(client, "window/showMessage") == [{"type": 1, "message": "StarCoder: It is broken. Mend it."}]
        assert told(client, "starcoder/status")[0]["phase"] == "failed"
    server.close()
