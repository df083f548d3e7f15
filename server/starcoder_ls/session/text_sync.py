"""Opens, changes and closes documents, and notifies what depends on their texts; for documents and cells of notebooks.

Decides where the cursor is after a change, as far as the change shows it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from lsprotocol import types as t

from starcoder_ls.completion.anchor import CursorText
from starcoder_ls.completion.cursor import Cursor
from starcoder_ls.errors import DocumentError
from starcoder_ls.lsp.documents.document import Document, Edit
from starcoder_ls.lsp.documents.store import Documents
from starcoder_ls.lsp.key_messages import version_or_none
from starcoder_ls.session.client_settings import ClientSettings
from starcoder_ls.session.document_completers import DocumentCompleters
from starcoder_ls.session.engine_supervisor import EngineSupervisor
from starcoder_ls.session.feedback import Feedback
from starcoder_ls.session.latest_request import LatestRequest
from starcoder_ls.session.next_edits import NextEdits
from starcoder_ls.session.notebook_views import NotebookViews
from starcoder_ls.session.workspace_context import WorkspaceContext

_MAX_EDITS, _MAX_CHARS = 4, 400
"""A larger change is no key stroke but a formatter, a rename or a paste: the cursor's position is unknown then."""

_AUTO_CLOSED_PAIRS = ("()", "[]", "{}", '""', "''", "``")


class TextSync:
    """Of one client. ``prefill_cursor`` makes the cursor at an offset of a document's text."""

    def __init__(
        self,
        documents: Documents,
        notebook_views: NotebookViews,
        settings: ClientSettings,
        supervisor: EngineSupervisor,
        latest: LatestRequest,
        completers: DocumentCompleters,
        context: WorkspaceContext,
        feedback: Feedback,
        next_edits: NextEdits,
        prefill_cursor: Callable[[Document, str, int], Cursor],
    ) -> None:
        self._documents, self._notebook_views, self._settings = documents, notebook_views, settings
        self._supervisor, self._latest, self._completers = supervisor, latest, completers
        self._context, self._feedback, self._next_edits = context, feedback, next_edits
        self._prefill_cursor = prefill_cursor

    def open(self, item: t.TextDocumentItem, notebook: str = "") -> None:
        """Open a document, or resynchronize an open one. ``notebook`` is the URI of the notebook of which it is a cell.

        Raises DocumentTooLarge.
        """
        uri, version = item.uri, version_or_none(item.version) or 0
        self._latest.cancel_document(uri)
        self._completers.discard(uri)
        self._context.on_close(uri)
        self._documents.open(uri, str(item.language_id), version, item.text, notebook)
        self._context.on_open(self._documents.get(uri))

    def change(self, uri: str, version: int | None, edits: list[Edit]) -> None:
        """Apply ``edits`` and cancel requests about the old text. Raises DocumentError."""
        self._latest.cancel_document(uri)
        try:
            self._documents.change(uri, version, edits)
        except DocumentError:
            self._completers.discard(uri)
            self._context.on_close(uri)
            raise
        start = edits[-1].start if edits else None
        self._context.on_change(self._documents.get(uri), start.line if start else None)
        document = self._documents.for_model(uri)
        if edits:
            text, offset = document.text, None if document.is_notebook_json else _cursor_offset(document, edits)
            cursor = None if offset is None else partial(self._prefill_cursor, document, text, offset)
            settings = self._settings.current.inline_completion
            completer = self._completers.get(uri)
            whole_text, whole_offset = self._notebook_views.embed(document, text, offset or 0)
            cursor_text = CursorText.at(whole_text, whole_offset)
            completer.handle_change(self._supervisor.ready_engine(), cursor_text, settings, cursor)

    def close(self, uri: str) -> None:
        """Forget the document and cancel requests about it."""
        self._latest.cancel_document(uri)
        self._completers.discard(uri)
        self._feedback.on_document_closed(uri)
        self._next_edits.on_document_closed(uri)
        self._context.on_close(uri)
        self._documents.close(uri)

    def mark_out_of_sync(self, uri: str | None) -> None:
        """A change of the document, or of an unknown one (None), could not be read."""
        for affected in self._documents.mark_out_of_sync(uri):
            self._completers.discard(affected)


def _cursor_offset(document: Document, edits: list[Edit]) -> int | None:
    """The cursor's offset after the last edit, inside a pair that the editor closed; None if it was no key stroke."""
    last = edits[-1]
    if last.start is None or len(edits) > _MAX_EDITS or sum(len(edit.text) for edit in edits) > _MAX_CHARS:
        return None
    end = min(document.edit_offset_at(last.start) + len(last.text), len(document.text))
    is_pair = last.text in _AUTO_CLOSED_PAIRS
    is_separate_closer = len(edits) > 1 and document.text[max(0, end - 2) : end] in _AUTO_CLOSED_PAIRS
    return end - 1 if is_pair or is_separate_closer else end
