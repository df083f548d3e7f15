"""``textDocument/didOpen``: a document begins, or one that was lost is put right."""

from __future__ import annotations

from lsprotocol.types import DidOpenTextDocumentParams

from starcoder_ls.session.session import Session


def did_open(session: Session, params: DidOpenTextDocumentParams) -> None:
    opened = params.text_document
    session.withdraw_all(opened.uri)
    session.clear_desk(opened.uri)
    session.documents.open(opened.uri, str(opened.language_id), opened.version, opened.text)
    session.context.opened(session.documents.opened(opened.uri))
