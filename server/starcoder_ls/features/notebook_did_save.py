"""``notebookDocument/didSave``: the file on disk changed; for clients that do not watch files."""

from __future__ import annotations

from lsprotocol.types import DidSaveNotebookDocumentParams

from starcoder_ls.session.session import Session


def notebook_did_save(session: Session, params: DidSaveNotebookDocumentParams) -> None:
    session.context.on_files_changed([params.notebook_document.uri])
