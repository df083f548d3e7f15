"""``textDocument/didSave``: what is on disk is what is open; for clients that watch no files for us."""

from __future__ import annotations

from lsprotocol.types import DidSaveTextDocumentParams

from starcoder_ls.session.session import Session


def did_save(session: Session, params: DidSaveTextDocumentParams) -> None:
    session.context.changed_on_disk([params.text_document.uri])
