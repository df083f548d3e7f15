from __future__ import annotations

import json
from typing import Any

import pytest

from starcoder_ls.daemon import replayed_notebooks
from starcoder_ls.daemon.message import Message, parse
from starcoder_ls.daemon.replayed_notebooks import ReplayedNotebooks, cell_uris

URI = "file:///n.ipynb"


def message(name: str, **params: Any) -> Message:
    fields = {"method": f"notebookDocument/did{name}", "params": {"notebookDocument": {"uri": URI}, **params}}
    return parse(json.dumps(fields).encode())


def opened(*cells: str) -> ReplayedNotebooks:
    notebooks = ReplayedNotebooks()
    assert notebooks.record(message("Open", cellTextDocuments=[{"uri": cell} for cell in cells])) is None
    return notebooks


def change(text: str = "", **structure: Any) -> Message:
    return message("Change", change={"cells": {"structure": structure}, "text": text})


def test_notebook_is_replayed_with_its_changes_until_it_is_closed() -> None:
    notebooks = opened("a")
    notebooks.record(change("x"))
    assert [parse(body).method for body in notebooks.replay()] == [
        "notebookDocument/didOpen",
        "notebookDocument/didChange",
    ]
    notebooks.record(message("Save"))
    assert len(notebooks.replay()) == 2
    notebooks.record(message("Close", cellTextDocuments=[{"uri": "a"}]))
    assert (notebooks.replay(), notebooks.uris) == ([], [])


def test_grown_changes_are_replaced_by_the_notebook_of_the_daemon() -> None:
    notebooks = opened("a")
    assert notebooks.record(change("x" * 300_000)) == URI
    assert notebooks.record(change("last")) is None
    snapshot = {"notebookDocument": {"uri": URI}, "cellTextDocuments": []}
    notebooks.set_notebook(URI, snapshot)
    first, last = map(json.loads, notebooks.replay())
    assert (first["method"], first["params"]) == ("notebookDocument/didOpen", snapshot)
    assert last["params"]["change"]["text"] == "last"


def test_cells_are_known_by_their_own_uris() -> None:
    notebooks = opened("a", "b")
    notebooks.record(change(didOpen=[{"uri": "c"}], didClose=[{"uri": "a"}]))
    assert notebooks.uris == [URI, "b", "c"]
    notebooks.remove("b")
    assert notebooks.uris == [URI, "b", "c"], "a cell is replayed with its notebook"
    notebooks.remove(URI)
    notebooks.record(change(didOpen=[{"uri": "d"}]))
    assert notebooks.uris == []


def test_number_of_known_cells_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replayed_notebooks, "MAX_CELLS", 2)
    assert opened(*"abcd").uris == [URI, "a", "b"]


@pytest.mark.parametrize("params", [{}, {"notebookDocument": 3}, {"notebookDocument": {}, "change": [1]}])
def test_malformed_messages_are_not_recorded(params: dict[str, Any]) -> None:
    notebooks = ReplayedNotebooks()
    for name in ("Open", "Change", "Close"):
        fields = {"method": f"notebookDocument/did{name}", "params": params | {"cellTextDocuments": [3, {"uri": 4}]}}
        assert notebooks.record(parse(json.dumps(fields).encode())) is None
    assert cell_uris(parse(b'{"params": {"cellTextDocuments": [{"uri": "a"}, 3]}}')) == ["a"]
