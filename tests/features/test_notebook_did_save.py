from __future__ import annotations

from pathlib import Path

from context_files import create_workspace, wait_until_indexed
from fakes import ScriptedEngine
from harness import async_test, initialized_client
from notebook_client import code_cell, write_notebook


@async_test
async def test_saved_notebook_is_indexed_with_its_new_cells(tmp_path: Path) -> None:
    engine = ScriptedEngine()
    create_workspace(tmp_path)
    async with initialized_client(engine, folder=tmp_path) as client:
        cell = code_cell("def matrix_inverse(rows):\n    saved_version = 1\n    return rows\n")
        uri = write_notebook(tmp_path / "helper.ipynb", cell).as_uri()
        client.notify("notebookDocument/didSave", {"notebookDocument": {"uri": uri}})
        await wait_until_indexed(client, engine, tmp_path, "saved_version")
