"""``textDocument/didClose``: forgets the document and cancels requests about it."""

from __future__ import annotations

from lsprotocol.types import DidCloseTextDocumentParams

from starcoder_ls.session.session import Session


def did_close(session: Session, params: DidCloseTextDocumentParams) -> None:
    uri = params.text_document.uri
    session.latest.cancel_document(uri)
    session.completers.discard(uri)
    session.feedback.on_document_closed(uri)
    session.next_edits.on_document_closed(uri)
    session.context.on_close(uri)
    session.documents.close(uri)
