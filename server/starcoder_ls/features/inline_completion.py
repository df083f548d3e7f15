"""``textDocument/inlineCompletion``: ghost text at the cursor.

Decides at which cursor suggestions are requested while a menu is open, and how they become items.
"""

from __future__ import annotations

from functools import partial

from lsprotocol import types as t

from starcoder_ls.completion.suggestion import Suggestion
from starcoder_ls.lsp.documents.document import Document, Position
from starcoder_ls.lsp.request_handle import RequestHandle
from starcoder_ls.session.completion_request import Trigger
from starcoder_ls.session.session import Session


def is_invoked(params: t.InlineCompletionParams) -> bool:
    """The user asked for suggestions explicitly, rather than by typing."""
    return params.context.trigger_kind is t.InlineCompletionTriggerKind.Invoked


async def inline_completion(
    session: Session, params: t.InlineCompletionParams, handle: RequestHandle
) -> list[t.InlineCompletionItem] | None:
    """The suggestions at the cursor, several if the user asked for them explicitly.

    Empty if there is nothing to suggest, which removes an older suggestion from Neovim's screen; null if another
    request may have an answer: an empty list would remove that one too.
    """
    uri, convert = params.text_document.uri, partial(_Conversion, session, params)
    trigger = Trigger.INVOKED if is_invoked(params) else Trigger.AUTOMATIC
    has_menu = params.context.selected_completion_info is not None
    if trigger is Trigger.AUTOMATIC and has_menu and "menu" in session.settings.inline_completion.pause_while:
        return []
    if trigger is Trigger.AUTOMATIC and _shows_edit(session, params):
        return []
    result = await session.completion_requests.complete(
        t.TEXT_DOCUMENT_INLINE_COMPLETION, uri, handle, convert, trigger, session.engine_wait_s
    )
    if result is None:
        return None
    if result.items:
        session.next_edits.on_completion(session.documents.get(uri), params.position.line)
    return result.items


def _shows_edit(session: Session, params: t.InlineCompletionParams) -> bool:
    """Whether the client shows a next edit on the cursor's line: a completion there would hide it."""
    document = session.documents.get(params.text_document.uri)
    return session.next_edits.is_shown_on(document, params.position.line)


class _Conversion:
    """The cursor of a request, and items for suggestions at it.

    While a menu is open, ghost text has to continue its selected entry (``selectedCompletionInfo``): then the model
    reads the document as if that entry were accepted, and items begin with it.
    """

    def __init__(self, session: Session, params: t.InlineCompletionParams, document: Document) -> None:
        self._document = document
        self._start = self._end = document.offset_at(_position(params.position))
        self._entry = ""
        text = document.text
        if (selected := params.context.selected_completion_info) is not None and selected.text:
            self._start = document.offset_at(_position(selected.range.start))
            self._end = max(self._start, document.offset_at(_position(selected.range.end)))
            self._entry = selected.text
            text = text[: self._start] + self._entry + text[self._end :]
        self.cursor = session.cursor(document, text, self._start + len(self._entry))

    def item(self, suggestion: Suggestion, command: t.Command | None) -> t.InlineCompletionItem | None:
        """None for what an editor cannot show: a range over several lines, or one that begins inside the entry."""
        start, text = suggestion.start, suggestion.text
        if self._entry:
            if start != self.cursor.offset:
                return None
            start, text = self._start, self._entry + text
        growth = len(self._entry) - (self._end - self._start)
        first, last = self._document.position_at(start), self._document.position_at(suggestion.end - growth)
        if first.line != last.line:
            return None
        replaced = t.Range(t.Position(first.line, first.column), t.Position(last.line, last.column))
        return t.InlineCompletionItem(insert_text=text, range=replaced, command=command)


def _position(position: t.Position) -> Position:
    return Position(position.line, position.character)
