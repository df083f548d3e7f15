"""``textDocument/didClose``: forget the document and what was asked about it."""

from __future__ import annotations

from lsprotocol.types import DidCloseTextDocumentParams

from starcoder_ls.session.session import Session


def did_close(session: Session, params: DidCloseTextDocumentParams) -> None:
    session.withdraw_all(params.text_document.uri)
    session.clear_desk(params.text_document.uri)
    session.feedback.closed(params.text_document.uri)
    session.documents.close(params.text_document.uri)
    session.context.closed(params.text_document.uri)
