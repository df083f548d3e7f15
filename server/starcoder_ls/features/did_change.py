"""``textDocument/didChange``: the text moves on, and what was asked about the old one ends."""

from __future__ import annotations

from collections.abc import Mapping

from lsprotocol import types as t

from starcoder_ls.documents.document import Edit, Position
from starcoder_ls.session.session import Session


def did_change(session: Session, params: t.DidChangeTextDocumentParams) -> None:
    """Raises DocumentNotOpen, DocumentOutOfSync."""
    uri = params.text_document.uri
    session.withdraw_all(uri)
    edits = [_edit(change) for change in params.content_changes]
    session.documents.change(uri, params.text_document.version, edits)
    place = edits[-1].start if edits else None
    session.context.edited(session.documents.opened(uri), place.line if place else None)


def lose_unreadable(session: Session, raw: object) -> None:
    """A text changed in a way we could not read: its document is unknown now, or each of them if none is named."""
    document = raw.get("textDocument") if isinstance(raw, Mapping) else None
    uri = document.get("uri") if isinstance(document, Mapping) else None
    session.documents.lose(uri if isinstance(uri, str) else None)


def _edit(change: t.TextDocumentContentChangeEvent) -> Edit:
    if isinstance(change, t.TextDocumentContentChangeWholeDocument):
        return Edit(change.text)
    start, end = change.range.start, change.range.end
    return Edit(change.text, Position(start.line, start.character), Position(end.line, end.character))
