from __future__ import annotations

from pathlib import Path

from context_files import asked_with_evidence, workspace
from fakes import ScriptedEngine
from harness import async_test, initialized_client


@async_test
async def test_a_saved_file_is_found_as_it_is_now(tmp_path: Path) -> None:
    engine = ScriptedEngine()
    workspace(tmp_path)
    async with initialized_client(engine, folder=tmp_path) as client:
        (tmp_path / "helper.py").write_text("def matrix_inverse(rows):\n    saved_version = 1\n    return rows\n")
        client.notify("textDocument/didSave", {"textDocument": {"uri": (tmp_path / "helper.py").as_uri()}})
        await asked_with_evidence(client, engine, tmp_path, "saved_version")
