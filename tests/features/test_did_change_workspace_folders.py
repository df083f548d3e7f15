from __future__ import annotations

from pathlib import Path

from context_files import create_workspace, wait_until_indexed
from fakes import ScriptedEngine
from harness import async_test, initialized_client


@async_test
async def test_added_folder_is_indexed_and_its_ignore_rules_apply(tmp_path: Path) -> None:
    engine = ScriptedEngine()
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    create_workspace(tmp_path / "two")
    (tmp_path / "two" / ".gitignore").write_text("out.py\n")
    async with initialized_client(engine, folder=tmp_path / "one") as client:
        client.open((tmp_path / "two" / "out.py").as_uri(), "x = ")
        folders = {"added": [{"uri": (tmp_path / "two").as_uri(), "name": "two"}], "removed": []}
        client.notify("workspace/didChangeWorkspaceFolders", {"event": folders})
        assert await client.inline_completion((tmp_path / "two" / "out.py").as_uri(), 0, 4) is None
        await wait_until_indexed(client, engine, tmp_path / "two", "first_version")
        folders = {"added": [], "removed": [{"uri": (tmp_path / "two").as_uri(), "name": "two"}]}
        client.notify("workspace/didChangeWorkspaceFolders", {"event": folders})
        client.open((tmp_path / "two" / "again.py").as_uri(), "matrix_inverse(")
        await client.inline_completion((tmp_path / "two" / "again.py").as_uri(), 0, 15)
        assert "first_version" not in str(engine.requests[-1])
