from __future__ import annotations

from typing import Any

import pytest

from fakes import ScriptedEngine, text_before_cursor
from fim_tokens import JUPYTER, STARCODER
from harness import async_test, initialized_client, notifications_of, wait_until_idle
from notebook_client import NOTEBOOK, cell_uri, complete_at_end, open_notebook

SCRIPT = "# # Load\n\nimport pandas as pd\n\n"


@async_test
async def test_cells_above_are_read_before_the_cursors_cell() -> None:
    engine = ScriptedEngine()
    async with initialized_client(engine) as client:
        open_notebook(client, [("text", "# Load"), ("a", "import pandas as pd"), ("b", "table = "), ("c", "last()")])
        (item,) = await complete_at_end(client, "b", "table = ")
        assert item["insertText"] == "return 1"
        line, column = item["range"]["start"]["line"], item["range"]["start"]["character"]
        assert (line, column) == (0, 8), "positions are those of the cell"
        (request,) = engine.requests
        assert text_before_cursor(request) == f"{SCRIPT}table = "
        assert any("last()" in part for part in request.parts if isinstance(part, str))


@async_test
async def test_model_trained_on_notebooks_reads_cells_and_outputs() -> None:
    engine = ScriptedEngine()
    engine.set_status(special_tokens=STARCODER | JUPYTER)
    async with initialized_client(engine) as client:
        open_notebook(client, [("text", "Load"), ("a", "2 + 2"), ("b", "x = ")], outputs={"a": "4\n"})
        position = {"line": 0, "character": 4}
        prompt = await client.request(
            "starcoder/prompt", {"textDocument": {"uri": cell_uri("b")}, "position": position}
        )
        assert "".join(part["text"] for part in prompt["parts"]) + prompt["opening"] == (
            "<jupyter_start><jupyter_text>Load<jupyter_code>2 + 2<jupyter_output>4<jupyter_text><jupyter_code>x = "
        )
        assert prompt["order"] == "left_to_right"


@async_test
async def test_code_below_the_prompt_is_looked_up_for_ngrams() -> None:
    engine = ScriptedEngine()
    later = "\n".join(f"later_name_{number} = {number}" for number in range(600))
    async with initialized_client(engine) as client:
        open_notebook(client, [("a", "x = "), ("b", later), ("c", "the_last_name = 1\n" * 40)])
        await complete_at_end(client, "a", "x = ")
        (request,) = engine.requests
        assert "later_name_599" in str(request.lookup_text)
        assert "later_name_599" not in str(request.parts)


@async_test
async def test_notebook_opened_again_replaces_its_cells() -> None:
    engine = ScriptedEngine()
    async with initialized_client(engine) as client:
        open_notebook(client, [("a", "old = 1"), ("b", "x = ")])
        open_notebook(client, [("c", "new = 1"), ("b", "y = ")])
        await complete_at_end(client, "b", "y = ")
        assert text_before_cursor(engine.requests[0]) == "new = 1\n\ny = "
        assert await client.request("starcoder/text", {"uri": cell_uri("a")}) is None


@pytest.mark.parametrize("name", [".env.ipynb", "credentials.ipynb"])
@async_test
async def test_path_of_the_notebook_decides_whether_cells_are_excluded(name: str) -> None:
    notebook = f"file:///project/{name}"
    engine = ScriptedEngine()
    async with initialized_client(engine) as client:
        open_notebook(client, [("a", "x = ")], notebook)
        status = await client.request("starcoder/documentStatus", {"textDocument": {"uri": cell_uri("a", notebook)}})
        expected = await client.request("starcoder/documentStatus", {"textDocument": {"uri": notebook}})
        assert status["status"] == expected["status"]
        result = await complete_at_end(client, "a", "x = ", notebook)
        assert bool(result) == bool(engine.requests) == (status["status"] == "included")


@async_test
async def test_cells_count_as_documents_in_the_limits_of_a_client() -> None:
    engine = ScriptedEngine()
    async with initialized_client(engine) as client:
        large = "x = 1\n" * (3 * 1024 * 1024)
        open_notebook(client, [("a", "a = "), ("b", large), ("c", "c = ")])
        await client.request("starcoder/status")
        (message,) = notifications_of(client, "window/showMessage")
        assert "the limit is 16 MB" in message["message"]
        await complete_at_end(client, "c", "c = ")
        assert text_before_cursor(engine.requests[0]) == "a = \n\nc = "


@pytest.mark.parametrize(
    "broken",
    [
        None,
        {},
        {"notebookDocument": {"uri": NOTEBOOK}},
        {"notebookDocument": {"uri": NOTEBOOK, "notebookType": "x", "version": 1, "cells": 3}, "cellTextDocuments": []},
    ],
)
@async_test
async def test_params_that_cannot_be_read_put_documents_out_of_sync(broken: Any) -> None:
    engine = ScriptedEngine()
    async with initialized_client(engine) as client:
        open_notebook(client, [("a", "x = ")])
        client.notify("notebookDocument/didOpen", broken)
        assert await complete_at_end(client, "a", "x = ") is None
        open_notebook(client, [("a", "x = ")])
        assert await complete_at_end(client, "a", "x = ")
        await wait_until_idle(engine)
