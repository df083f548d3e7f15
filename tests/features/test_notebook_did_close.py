from __future__ import annotations

from fakes import ScriptedEngine
from harness import async_test, initialized_client
from notebook_client import NOTEBOOK, cell_uri, complete_at_end, open_notebook


def close(names: str, notebook: str = NOTEBOOK) -> dict[str, object]:
    texts = [{"uri": cell_uri(name)} for name in names]
    return {"notebookDocument": {"uri": notebook}, "cellTextDocuments": texts}


@async_test
async def test_closed_notebook_is_forgotten_with_all_its_cells() -> None:
    async with initialized_client(ScriptedEngine()) as client:
        open_notebook(client, [("a", "x = "), ("b", "y = ")])
        client.notify("notebookDocument/didClose", close("a"))
        for name in "ab":
            assert await client.request("starcoder/text", {"uri": cell_uri(name)}) is None
        assert await client.request("starcoder/notebook", {"uri": NOTEBOOK}) is None


@async_test
async def test_closing_another_notebook_closes_no_document_of_others() -> None:
    async with initialized_client(ScriptedEngine()) as client:
        client.open("file:///project/app.py", "z = ")
        open_notebook(client, [("a", "x = ")])
        client.notify("notebookDocument/didClose", close("a", "file:///project/other.ipynb"))
        texts = [{"uri": "file:///project/app.py"}]
        client.notify("notebookDocument/didClose", {"notebookDocument": {"uri": "x"}, "cellTextDocuments": texts})
        assert await complete_at_end(client, "a", "x = ")
        assert await client.inline_completion("file:///project/app.py", 0, 4)
