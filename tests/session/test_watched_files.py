from __future__ import annotations

from pathlib import Path
from typing import Any

from fakes import ScriptedEngine
from harness import INLINE_COMPLETION, async_test, connect_client, initialized_client, wait_until, wait_until_ready
from starcoder_ls.app import Server
from starcoder_ls.settings import Settings

WATCHING = INLINE_COMPLETION | {"workspace": {"didChangeWatchedFiles": {"dynamicRegistration": True}}}


@async_test
async def test_file_watching_is_registered_with_clients_that_support_it(tmp_path: Path) -> None:
    requests: list[tuple[str, Any]] = []
    server = Server(lambda _: ScriptedEngine(), Settings())
    async with connect_client(server) as client:
        client.on_request = lambda method, params: requests.append((method, params))
        folders = [{"uri": tmp_path.as_uri(), "name": "x"}]
        await client.initialize({}, WATCHING, workspaceFolders=folders)
        await wait_until(lambda: bool(requests))
        method, params = requests[0]
        (registration,) = params["registrations"]
        assert (method, registration["method"]) == ("client/registerCapability", "workspace/didChangeWatchedFiles")
        assert registration["registerOptions"]["watchers"] == [{"globPattern": "**/*"}]
        await wait_until_ready(client)
    server.close()


@async_test
async def test_file_watching_is_not_registered_without_folders_or_support(tmp_path: Path) -> None:
    for capabilities, folder in ((WATCHING, None), (INLINE_COMPLETION, tmp_path)):
        async with initialized_client(ScriptedEngine(), capabilities=capabilities, folder=folder) as client:
            requests: list[str] = []
            client.on_request = lambda method, _, requests=requests: requests.append(method)  # type: ignore[misc]
            await client.request("starcoder/status")
            assert requests == []
