"""A notebook that a test opens in a client, as an editor does."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from starcoder_ls.lsp.client import Client, PendingRequest

NOTEBOOK = "file:///project/analysis.ipynb"
CODE, MARKDOWN = 2, 1  # LSP: NotebookCellKind

NotebookText = Sequence[tuple[str, str]]
"""The name of each cell and its text; names that begin with ``text`` are those of markdown cells."""


def cell_uri(name: str, notebook: str = NOTEBOOK) -> str:
    """As VS Code makes it."""
    return notebook.replace("file://", "vscode-notebook-cell:") + f"#{name}"


def cell(name: str, output: str = "", notebook: str = NOTEBOOK) -> dict[str, Any]:
    """A ``NotebookCell``."""
    fields = {"kind": MARKDOWN if name.startswith("text") else CODE, "document": cell_uri(name, notebook)}
    outputs = [{"output_type": "stream", "name": "stdout", "text": [output]}]
    return fields | ({"metadata": {"outputs": outputs}} if output else {})


def text_document(name: str, text: str, notebook: str = NOTEBOOK, language: str = "") -> dict[str, Any]:
    """The ``TextDocumentItem`` of a cell."""
    language = language or ("markdown" if name.startswith("text") else "python")
    return {"uri": cell_uri(name, notebook), "languageId": language, "version": 1, "text": text}


def open_notebook(
    client: Client, cells: NotebookText, notebook: str = NOTEBOOK, outputs: dict[str, str] | None = None
) -> None:
    document = {
        "uri": notebook,
        "notebookType": "jupyter-notebook",
        "version": 1,
        "cells": [cell(name, (outputs or {}).get(name, ""), notebook) for name, _ in cells],
    }
    texts = [text_document(name, text, notebook) for name, text in cells]
    client.notify("notebookDocument/didOpen", {"notebookDocument": document, "cellTextDocuments": texts})


def change_notebook(client: Client, notebook: str = NOTEBOOK, version: int = 2, **cells: Any) -> None:
    """``cells`` are the fields of ``NotebookDocumentCellChanges``."""
    params = {"notebookDocument": {"uri": notebook, "version": version}, "change": {"cells": cells}}
    client.notify("notebookDocument/didChange", params)


def text_content(name: str, version: int, *changes: dict[str, Any], notebook: str = NOTEBOOK) -> dict[str, Any]:
    """The member ``textContent`` for changes of one cell."""
    document = {"uri": cell_uri(name, notebook), "version": version}
    return {"textContent": [{"document": document, "changes": list(changes)}]}


def complete_at_end(client: Client, name: str, text: str, notebook: str = NOTEBOOK) -> PendingRequest:
    """Inline completion at the end of a cell with ``text``."""
    lines = text.split("\n")
    return client.inline_completion(cell_uri(name, notebook), len(lines) - 1, len(lines[-1]))


def notebook_json(cells: Sequence[dict[str, Any]], language: str = "python") -> dict[str, Any]:
    """The content of a notebook file."""
    metadata = {"kernelspec": {"name": "x", "language": language}, "language_info": {"name": language}}
    return {"nbformat": 4, "nbformat_minor": 5, "metadata": metadata, "cells": list(cells)}


def code_cell(source: str, *outputs: dict[str, Any]) -> dict[str, Any]:
    lines = source.splitlines(keepends=True)
    return {"cell_type": "code", "metadata": {}, "execution_count": None, "source": lines, "outputs": list(outputs)}


def write_notebook(path: Path, *cells: dict[str, Any], language: str = "python") -> Path:

    path.write_text(json.dumps(notebook_json(cells, language)))
    return path
