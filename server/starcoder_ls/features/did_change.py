"""``textDocument/didChange``: applies the edits and cancels requests about the old text."""

from __future__ import annotations

from collections.abc import Mapping

from starcoder_ls.lsp.key_messages import DocumentChange
from starcoder_ls.session.session import Session


def did_change(session: Session, change: DocumentChange) -> None:
    """Raises DocumentNotOpen, DocumentOutOfSync, DocumentExcluded."""
    session.text_sync.change(change.uri, change.version, change.edits)


def mark_out_of_sync(session: Session, raw: object) -> None:
    """Params that could not be read: the named document, or every one if none is named, is out of sync."""
    document = raw.get("textDocument") if isinstance(raw, Mapping) else None
    uri = document.get("uri") if isinstance(document, Mapping) else None
    session.text_sync.mark_out_of_sync(uri if isinstance(uri, str) else None)
