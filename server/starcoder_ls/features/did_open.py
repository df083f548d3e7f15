"""``textDocument/didOpen``: opens a document, or resynchronizes an open one."""

from __future__ import annotations

from lsprotocol.types import DidOpenTextDocumentParams

from starcoder_ls.session.session import Session


def did_open(session: Session, params: DidOpenTextDocumentParams) -> None:
    session.text_sync.open(params.text_document)
