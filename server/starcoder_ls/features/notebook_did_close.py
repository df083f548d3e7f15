"""``notebookDocument/didClose``: forgets a notebook with its cells."""

from __future__ import annotations

from lsprotocol.types import DidCloseNotebookDocumentParams

from starcoder_ls.session.session import Session


def notebook_did_close(session: Session, params: DidCloseNotebookDocumentParams) -> None:
    cells = (cell.uri for cell in params.cell_text_documents)
    session.notebook_sync.close(params.notebook_document.uri, cells)
