"""``textDocument/didOpen``: opens a document, or resynchronizes an open one."""

from __future__ import annotations

from lsprotocol.types import DidOpenTextDocumentParams

from starcoder_ls.lsp.converter import NO_VERSION
from starcoder_ls.session.session import Session


def did_open(session: Session, params: DidOpenTextDocumentParams) -> None:
    document = params.text_document
    version = 0 if document.version == NO_VERSION else document.version
    session.latest.cancel_document(document.uri)
    session.completers.discard(document.uri)
    session.context.on_close(document.uri)
    session.documents.open(document.uri, str(document.language_id), version, document.text)
    session.context.on_open(session.documents.get(document.uri))
