"""``textDocument/didChange``: applies the edits and cancels requests about the old text.

Decides where the cursor is after a change, as far as the change shows it.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from lsprotocol import types as t

from starcoder_ls.completion.anchor import CursorText
from starcoder_ls.errors import DocumentError
from starcoder_ls.lsp.converter import NO_VERSION
from starcoder_ls.lsp.documents.document import Document, Edit, Position
from starcoder_ls.session.session import Session

_MAX_EDITS, _MAX_CHARS = 4, 400
"""A larger change is no key stroke but a formatter, a rename or a paste: the cursor's position is unknown then."""

_AUTO_CLOSED_PAIRS = ("()", "[]", "{}", '""', "''", "``")


def did_change(session: Session, params: t.DidChangeTextDocumentParams) -> None:
    """Raises DocumentNotOpen, DocumentOutOfSync, DocumentExcluded."""
    uri = params.text_document.uri
    session.latest.cancel_document(uri)
    edits = [_edit(change) for change in params.content_changes]
    try:
        version = params.text_document.version
        session.documents.change(uri, None if version == NO_VERSION else version, edits)
    except DocumentError:
        session.completers.discard(uri)
        session.context.on_close(uri)
        raise
    start = edits[-1].start if edits else None
    session.context.on_change(session.documents.get(uri), start.line if start else None)
    document = session.documents.for_model(uri)
    if edits:
        text, offset = document.text, _cursor_offset(document, edits)
        cursor = None if offset is None else partial(session.prefill_cursor, document, text, offset)
        settings = session.settings.inline_completion
        completer = session.completers.get(uri)
        completer.handle_change(session.supervisor.ready_engine(), CursorText.at(text, offset or 0), settings, cursor)


def mark_out_of_sync(session: Session, raw: object) -> None:
    """Params that could not be read: the named document, or every one if none is named, is out of sync."""
    document = raw.get("textDocument") if isinstance(raw, Mapping) else None
    uri = document.get("uri") if isinstance(document, Mapping) else None
    for affected in session.documents.mark_out_of_sync(uri if isinstance(uri, str) else None):
        session.completers.discard(affected)


def _edit(change: t.TextDocumentContentChangeEvent) -> Edit:
    if isinstance(change, t.TextDocumentContentChangeWholeDocument):
        return Edit(change.text)
    start, end = change.range.start, change.range.end
    return Edit(change.text, Position(start.line, start.character), Position(end.line, end.character))


def _cursor_offset(document: Document, edits: list[Edit]) -> int | None:
    """The cursor's offset after the last edit, inside a pair that the editor closed; None if it was no key stroke."""
    last = edits[-1]
    if last.start is None or len(edits) > _MAX_EDITS or sum(len(edit.text) for edit in edits) > _MAX_CHARS:
        return None
    end = min(document.edit_offset_at(last.start) + len(last.text), len(document.text))
    is_pair = last.text in _AUTO_CLOSED_PAIRS
    is_separate_closer = len(edits) > 1 and document.text[max(0, end - 2) : end] in _AUTO_CLOSED_PAIRS
    return end - 1 if is_pair or is_separate_closer else end
