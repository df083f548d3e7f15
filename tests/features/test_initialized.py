from __future__ import annotations

from fakes import SCRIPTED_SETTINGS, ScriptedEngine
from harness import INLINE_COMPLETION, async_test, connect_client, notifications_of, wait_until
from starcoder_ls.app import Server

STATUS_CAPABILITIES = {**INLINE_COMPLETION, "experimental": {"starcoderStatus": True}}


@async_test
async def test_no_notification_is_sent_before_initialized() -> None:
    server = Server(lambda _: ScriptedEngine(failure="It is broken. Mend it."), SCRIPTED_SETTINGS)
    async with connect_client(server) as client:
        await client.request("initialize", {"capabilities": STATUS_CAPABILITIES})
        while (await client.request("starcoder/status"))["phase"] != "failed":
            pass
        assert not client.notifications
        client.notify("initialized", {})
        await wait_until(lambda: len(client.notifications) == 2)
        assert notifications_of(client, "window/showMessage") == [
            {"type": 1, "message": "StarCoder: It is broken. Mend it."}
        ]
        assert notifications_of(client, "starcoder/status")[0]["phase"] == "failed"
    server.close()
