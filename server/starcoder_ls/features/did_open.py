"""``textDocument/didOpen``: opens a document, or resynchronizes an open one."""

from __future__ import annotations

from lsprotocol.types import DidOpenTextDocumentParams

from starcoder_ls.session.session import Session


def did_open(session: Session, params: DidOpenTextDocumentParams) -> None:
    document = params.text_document
    session.latest.cancel_document(document.uri)
    session.completers.discard(document.uri)
    session.documents.open(document.uri, str(document.language_id), document.version, document.text)
    session.context.on_open(session.documents.get(document.uri))
