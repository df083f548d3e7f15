from __future__ import annotations

from fakes import ScriptedEngine
from harness import async_test, initialized_client
from notebook_client import NOTEBOOK, cell, change_notebook, open_notebook, text_content, text_document


@async_test
async def test_notebook_is_returned_as_it_would_be_opened_now() -> None:
    async with initialized_client(ScriptedEngine()) as client:
        open_notebook(client, [("text", "Hi"), ("a", "x = 1")], outputs={"a": "4"})
        change_notebook(client, version=7, **text_content("a", 3, {"text": "x = 2"}))
        snapshot = await client.request("starcoder/notebook", {"uri": NOTEBOOK})
        output = [{"output_type": "stream", "text": "4"}]
        assert snapshot == {
            "notebookDocument": {
                "uri": NOTEBOOK,
                "notebookType": "jupyter-notebook",
                "version": 7,
                "cells": [cell("text"), cell("a") | {"metadata": {"outputs": output}}],
            },
            "cellTextDocuments": [text_document("text", "Hi"), text_document("a", "x = 2") | {"version": 3}],
        }
        client.notify("notebookDocument/didOpen", snapshot)
        assert await client.request("starcoder/notebook", {"uri": NOTEBOOK}) == snapshot


@async_test
async def test_unknown_or_out_of_sync_notebook_is_null() -> None:
    async with initialized_client(ScriptedEngine()) as client:
        assert await client.request("starcoder/notebook", {"uri": NOTEBOOK}) is None
        assert await client.request("starcoder/notebook") is None
        open_notebook(client, [("a", "x")])
        position = {"line": 9, "character": 0}
        change_notebook(client, **text_content("a", 0, {"range": {"start": position, "end": position}, "text": "y"}))
        assert await client.request("starcoder/notebook", {"uri": NOTEBOOK}) is None
