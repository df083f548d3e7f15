"""``textDocument/didChange``: the text moves on, and what was asked about the old one ends.

Decides where the cursor is after a change, as far as the change tells. Refuses to know what is done with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from lsprotocol import types as t

from starcoder_ls.completion.anchor import CursorText
from starcoder_ls.errors import DocumentError
from starcoder_ls.lsp.documents.document import Document, Edit, Position
from starcoder_ls.session.session import Session

_MOST_EDITS, _MOST_CHARS = 4, 400
"""More is no key but a formatter, a rename or a paste of a page: then nobody knows where the cursor is."""

_CLOSED_BY_EDITORS = ("()", "[]", "{}", '""', "''", "``")


def did_change(session: Session, params: t.DidChangeTextDocumentParams) -> None:
    """Raises DocumentNotOpen, DocumentOutOfSync."""
    uri = params.text_document.uri
    session.withdraw_all(uri)
    edits = [_edit(change) for change in params.content_changes]
    try:
        session.documents.change(uri, params.text_document.version, edits)
    except DocumentError:
        session.clear_desk(uri)
        raise
    place = edits[-1].start if edits else None
    session.context.edited(session.documents.opened(uri), place.line if place else None)
    document = session.documents.readable(uri)
    if edits:
        text, offset = document.text, _cursor(document, edits)
        typed_at = None if offset is None else partial(session.cursor, document, text, offset)
        wanted = session.settings.inline_completion
        session.desk(uri).handle_change(
            session.supervisor.ready_engine(), CursorText.at(text, offset or 0), wanted, typed_at
        )


def lose_unreadable(session: Session, raw: object) -> None:
    """A text changed in a way we could not read: its document is unknown now, or each of them if none is named."""
    document = raw.get("textDocument") if isinstance(raw, Mapping) else None
    uri = document.get("uri") if isinstance(document, Mapping) else None
    for lost in session.documents.lose(uri if isinstance(uri, str) else None):
        session.clear_desk(lost)


def _edit(change: t.TextDocumentContentChangeEvent) -> Edit:
    if isinstance(change, t.TextDocumentContentChangeWholeDocument):
        return Edit(change.text)
    start, end = change.range.start, change.range.end
    return Edit(change.text, Position(start.line, start.character), Position(end.line, end.character))


def _cursor(document: Document, edits: list[Edit]) -> int | None:
    """Where the last edit leaves the cursor; None where it does not look like a key. Between a pair that was closed."""
    last = edits[-1]
    if last.start is None or len(edits) > _MOST_EDITS or sum(len(edit.text) for edit in edits) > _MOST_CHARS:
        return None
    end = document.offset_at(last.start) + len(last.text)
    is_pair = last.text in _CLOSED_BY_EDITORS
    is_closer_alone = len(edits) > 1 and document.text[max(0, end - 2) : end] in _CLOSED_BY_EDITORS
    return end - 1 if is_pair or is_closer_alone else end
