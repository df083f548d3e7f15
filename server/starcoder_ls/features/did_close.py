"""``textDocument/didClose``: forgets the document and cancels requests about it."""

from __future__ import annotations

from lsprotocol.types import DidCloseTextDocumentParams

from starcoder_ls.session.session import Session


def did_close(session: Session, params: DidCloseTextDocumentParams) -> None:
    session.text_sync.close(params.text_document.uri)
