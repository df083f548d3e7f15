from __future__ import annotations

import pytest

from starcoder_ls.errors import DocumentNotOpen
from starcoder_ls.lsp.documents import notebooks as module
from starcoder_ls.lsp.documents.notebooks import NotebookCell, Notebooks
from starcoder_ls.lsp.documents.store import Documents
from starcoder_ls.notebooks.cells import CellKind

URI = "file:///n.ipynb"


def cell(uri: str, output: str = "") -> NotebookCell:
    return NotebookCell(uri, CellKind.CODE, output)


def opened(*uris: str) -> Notebooks:
    documents = Documents()
    for uri in (*uris, "x", "y"):
        documents.open(uri, "python", 1, "", URI)
    notebooks = Notebooks(documents)
    notebooks.open(URI, "jupyter-notebook", 1, map(cell, uris))
    return notebooks


def uris(notebooks: Notebooks) -> str:
    return "".join(cell.uri for cell in notebooks.get(URI).cells)


@pytest.mark.parametrize(
    ("start", "delete_count", "added", "expected"),
    [
        (0, 0, "x", "xabc"),
        (1, 1, "xy", "axyc"),
        (3, 0, "x", "abcx"),
        (1, 99, "", "a"),
        (99, 99, "x", "abcx"),
        (0, 1, "a", "abc"),
        (0, 0, "a", "abc"),
        (0, 0, "u", "abc"),
    ],
)
def test_splice_replaces_cells_and_keeps_each_once(start: int, delete_count: int, added: str, expected: str) -> None:
    notebooks = opened("a", "b", "c")
    changes = notebooks.get(URI).changes
    notebooks.splice(URI, start, delete_count, map(cell, added))
    assert uris(notebooks) == expected
    assert notebooks.get(URI).changes > changes


def test_output_is_replaced_and_forgotten_with_its_cell() -> None:
    notebooks = opened("a", "b")
    notebooks.set_cells(URI, [cell("a", "4" * 100), cell("unknown", "5")])
    notebooks.set_cells(URI, [cell("a", "6" * 100)])
    assert [each.output for each in notebooks.get(URI).cells] == ["6" * 100, ""]
    notebooks.splice(URI, 0, 1, [cell("x", "7" * 100)])
    assert notebooks.close(URI) == ["x", "b"]
    assert notebooks._output_bytes == 0
    assert notebooks.close(URI) == []


def test_outputs_of_a_client_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_OUTPUT_BYTES", 1000)
    notebooks = opened("a", "b", "c")
    notebooks.set_cells(URI, [cell(uri, "o" * 600) for uri in "abc"])
    assert [len(each.output) for each in notebooks.get(URI).cells] == [600, 0, 0]


def test_unknown_notebook_is_not_open() -> None:
    notebooks = opened("a")
    for change in (lambda: notebooks.splice("u", 0, 0, []), lambda: notebooks.set_cells("u", [])):
        with pytest.raises(DocumentNotOpen, match="The notebook u is not open"):
            change()
    assert notebooks.find("u") is None
    notebooks.close_all()
    assert notebooks.find(URI) is None
