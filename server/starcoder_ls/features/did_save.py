"""``textDocument/didSave``: the file on disk changed; for clients that do not watch files."""

from __future__ import annotations

from lsprotocol.types import DidSaveTextDocumentParams

from starcoder_ls.session.session import Session


def did_save(session: Session, params: DidSaveTextDocumentParams) -> None:
    session.context.on_files_changed([params.text_document.uri])
