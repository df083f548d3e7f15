"""``notebookDocument/didChange``: cells of a notebook were added, removed, moved or changed."""

from __future__ import annotations

from collections.abc import Mapping

from lsprotocol.types import DidChangeNotebookDocumentParams

from starcoder_ls.session.session import Session


def notebook_did_change(session: Session, params: DidChangeNotebookDocumentParams) -> None:
    """Raises DocumentError."""
    notebook = params.notebook_document
    session.notebook_sync.change(notebook.uri, notebook.version, params.change.cells)


def mark_out_of_sync(session: Session, raw: object) -> None:
    """Params that could not be read: the cells of the named notebook, or all documents, are out of sync."""
    notebook = raw.get("notebookDocument") if isinstance(raw, Mapping) else None
    uri = notebook.get("uri") if isinstance(notebook, Mapping) else None
    session.notebook_sync.mark_out_of_sync(uri if isinstance(uri, str) else None)
