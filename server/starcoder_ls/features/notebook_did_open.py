"""``notebookDocument/didOpen``: opens a notebook with its cells, or resynchronizes an open one."""

from __future__ import annotations

from lsprotocol.types import DidOpenNotebookDocumentParams

from starcoder_ls.session.session import Session


def notebook_did_open(session: Session, params: DidOpenNotebookDocumentParams) -> None:
    """Raises DocumentTooLarge."""
    session.notebook_sync.open(params.notebook_document, params.cell_text_documents)
