"""Opens, changes and closes notebooks: their cells are documents, whose order and outputs the notebook has.

Decides which cells are read as text and what their output is: clients may send the outputs of a cell in its metadata,
as ``outputs`` in the form of the notebook file format. LSP itself has no outputs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from lsprotocol import types as t

from starcoder_ls.errors import DocumentError
from starcoder_ls.lsp.documents.notebooks import NotebookCell, Notebooks
from starcoder_ls.lsp.documents.store import Documents
from starcoder_ls.lsp.key_messages import read_edits, version_or_none
from starcoder_ls.notebooks.cells import CellKind
from starcoder_ls.notebooks.outputs import output_text
from starcoder_ls.session.text_sync import TextSync

OUTPUTS = "outputs"
"""The member of a cell's metadata that has its outputs."""


class NotebookSync:
    """Of one client. A cell that cannot be read does not keep the others from being read."""

    def __init__(self, documents: Documents, notebooks: Notebooks, text_sync: TextSync) -> None:
        self._documents, self._notebooks, self._text_sync = documents, notebooks, text_sync

    def open(self, notebook: t.NotebookDocument, texts: Iterable[t.TextDocumentItem]) -> None:
        """Open a notebook, or resynchronize an open one. Raises DocumentTooLarge, after what fits was opened."""
        self.close(notebook.uri)
        errors = [error for item in texts if (error := self._open_cell(item, notebook.uri))]
        self._notebooks.open(notebook.uri, notebook.notebook_type, notebook.version, _cells(notebook.cells))
        _raise_first(errors)

    def change(self, uri: str, version: int, changes: t.NotebookDocumentCellChanges | None) -> None:
        """Apply changes of cells in the order of the specification. Raises DocumentError, after all were tried."""
        self._notebooks.get(uri).version = version
        if changes is None:
            return
        errors: list[DocumentError] = []
        if (structure := changes.structure) is not None:
            for closed in structure.did_close or ():
                self._text_sync.close(closed.uri)
            errors += (error for item in structure.did_open or () if (error := self._open_cell(item, uri)))
            array = structure.array
            self._notebooks.splice(uri, array.start, array.delete_count, _cells(array.cells or ()))
        if changes.data:
            self._notebooks.set_cells(uri, _cells(changes.data))
        for content in changes.text_content or ():
            try:
                text_version = version_or_none(content.document.version)
                self._text_sync.change(content.document.uri, text_version, read_edits(content.changes))
            except DocumentError as error:
                errors.append(error)
        _raise_first(errors)

    def close(self, uri: str, texts: Iterable[str] = ()) -> None:
        """Forget a notebook with its cells, and the documents ``texts``, which are those that the client names."""
        for cell in dict.fromkeys((*self._notebooks.close(uri), *texts)):
            if cell in self._documents and self._documents.get(cell).notebook == uri:
                self._text_sync.close(cell)

    def mark_out_of_sync(self, uri: str | None) -> None:
        """A message about the notebook, or about an unknown one (None), could not be read: its cells are unknown."""
        notebook = None if uri is None else self._notebooks.find(uri)
        if notebook is None:
            self._text_sync.mark_out_of_sync(None)
            return
        for cell in notebook.cells:
            self._text_sync.mark_out_of_sync(cell.uri)

    def snapshot(self, uri: str) -> dict[str, Any]:
        """The params of a ``notebookDocument/didOpen`` that opens the notebook as it is now. Raises DocumentError."""
        notebook = self._notebooks.get(uri)
        documents = [self._documents.for_model(cell.uri) for cell in notebook.cells]
        kinds = {CellKind.CODE: t.NotebookCellKind.Code, CellKind.MARKDOWN: t.NotebookCellKind.Markup}
        return {
            "notebookDocument": {
                "uri": uri,
                "notebookType": notebook.notebook_type,
                "version": notebook.version,
                "cells": [
                    {"kind": int(kinds[cell.kind]), "document": cell.uri, **_metadata(cell)} for cell in notebook.cells
                ],
            },
            "cellTextDocuments": [
                {"uri": each.uri, "languageId": each.language, "version": each.version, "text": each.text}
                for each in documents
            ],
        }

    def _open_cell(self, item: t.TextDocumentItem, notebook: str) -> DocumentError | None:
        try:
            self._text_sync.open(item, notebook)
        except DocumentError as error:
            return error
        return None


def _raise_first(errors: Sequence[DocumentError]) -> None:
    if errors:
        raise errors[0]


def _cells(cells: Iterable[t.NotebookCell]) -> Iterator[NotebookCell]:
    for cell in cells:
        is_code = cell.kind is t.NotebookCellKind.Code
        outputs = cell.metadata.get(OUTPUTS) if is_code and isinstance(cell.metadata, Mapping) else None
        yield NotebookCell(
            cell.document, CellKind.CODE if is_code else CellKind.MARKDOWN, output_text(outputs) if outputs else ""
        )


def _metadata(cell: NotebookCell) -> dict[str, Any]:
    return {"metadata": {OUTPUTS: [{"output_type": "stream", "text": cell.output}]}} if cell.output else {}
