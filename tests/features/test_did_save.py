from __future__ import annotations

from pathlib import Path

from context_files import create_workspace, wait_until_indexed
from fakes import ScriptedEngine
from harness import async_test, initialized_client


@async_test
async def test_saved_file_is_indexed_with_its_new_content(tmp_path: Path) -> None:
    engine = ScriptedEngine()
    create_workspace(tmp_path)
    async with initialized_client(engine, folder=tmp_path) as client:
        (tmp_path / "helper.py").write_text("def matrix_inverse(rows):\n    saved_version = 1\n    return rows\n")
        client.notify("textDocument/didSave", {"textDocument": {"uri": (tmp_path / "helper.py").as_uri()}})
        await wait_until_indexed(client, engine, tmp_path, "saved_version")
