from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from context_files import create_workspace, wait_until_indexed
from fakes import ScriptedEngine
from harness import INLINE_COMPLETION, async_test, initialized_client, wait_until
from starcoder_ls.lsp.client import Client

WATCHING = INLINE_COMPLETION | {"workspace": {"didChangeWatchedFiles": {"dynamicRegistration": True}}}


def change_folders(client: Client, added: Sequence[str] = (), removed: Sequence[str] = ()) -> None:
    """Notify the server of folders, each named by its URI."""
    event = {
        "added": [{"uri": uri, "name": "x"} for uri in added],
        "removed": [{"uri": uri, "name": "x"} for uri in removed],
    }
    client.notify("workspace/didChangeWorkspaceFolders", {"event": event})


@async_test
async def test_added_folder_is_indexed_and_its_ignore_rules_apply(tmp_path: Path) -> None:
    engine = ScriptedEngine()
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    create_workspace(tmp_path / "two")
    (tmp_path / "two" / ".gitignore").write_text("out.py\n")
    async with initialized_client(engine, folder=tmp_path / "one") as client:
        client.open((tmp_path / "two" / "out.py").as_uri(), "x = ")
        change_folders(client, added=[(tmp_path / "two").as_uri()])
        assert await client.inline_completion((tmp_path / "two" / "out.py").as_uri(), 0, 4) is None
        await wait_until_indexed(client, engine, tmp_path / "two", "first_version")
        change_folders(client, removed=[(tmp_path / "two").as_uri() + "/"])
        client.open((tmp_path / "two" / "again.py").as_uri(), "matrix_inverse(")
        await client.inline_completion((tmp_path / "two" / "again.py").as_uri(), 0, 15)
        assert "first_version" not in str(engine.requests[-1])


@async_test
async def test_files_are_watched_from_the_first_folder_on(tmp_path: Path) -> None:
    async with initialized_client(ScriptedEngine(), capabilities=WATCHING) as client:
        requests: list[str] = []
        client.on_request = lambda method, _: requests.append(method)
        change_folders(client, added=[tmp_path.as_uri()])
        await wait_until(lambda: bool(requests))
        change_folders(client, removed=[tmp_path.as_uri()])
        change_folders(client, added=[tmp_path.as_uri()])
        await client.request("starcoder/status")
        assert requests == ["client/registerCapability"]
