"""``textDocument/inlineCompletion``: ghost text at the cursor.

Decides at which cursor suggestions are requested while a menu is open, and how they become items.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from lsprotocol import types as t

from starcoder_ls.completion.suggestion import Suggestion
from starcoder_ls.lsp.documents.document import Document
from starcoder_ls.lsp.key_messages import InlineCompletionRequest, inline_completion_item
from starcoder_ls.lsp.request_handle import RequestHandle
from starcoder_ls.session.completion_request import Trigger
from starcoder_ls.session.feedback import accepted_command
from starcoder_ls.session.session import Session


def is_invoked(request: InlineCompletionRequest) -> bool:
    """The user asked for suggestions explicitly, rather than by typing."""
    return request.is_invoked


async def inline_completion(
    session: Session, request: InlineCompletionRequest, handle: RequestHandle
) -> list[dict[str, Any]] | None:
    """The suggestions at the cursor, several if the user asked for them explicitly.

    Empty if there is nothing to suggest, which removes an older suggestion from Neovim's screen; null if another
    request may have an answer: an empty list would remove that one too.
    """
    uri, convert = request.uri, partial(_Conversion, session, request)
    trigger = Trigger.INVOKED if request.is_invoked else Trigger.AUTOMATIC
    if trigger is Trigger.AUTOMATIC:
        has_menu = request.selected is not None
        if has_menu and "menu" in session.settings.inline_completion.pause_while:
            return []
        if session.next_edits.is_shown_on(session.documents.get(uri), request.position.line):
            return []  # a completion on the line of an edit would hide it
    result = await session.completion_requests.complete(
        t.TEXT_DOCUMENT_INLINE_COMPLETION, uri, handle, convert, trigger, session.engine_wait_s
    )
    if result is None:
        return None
    if result.items:
        session.next_edits.on_completion(session.documents.get(uri), request.position.line)
    return result.items


class _Conversion:
    """The cursor of a request, and items for suggestions at it.

    While a menu is open, ghost text has to continue its selected entry (``selectedCompletionInfo``): then the model
    reads the document as if that entry were accepted, and items begin with it.
    """

    def __init__(self, session: Session, request: InlineCompletionRequest, document: Document) -> None:
        self._document = document
        self._start = self._end = document.offset_at(request.position)
        self._entry = ""
        text = document.text
        if (selected := request.selected) is not None and selected.text:
            self._start = document.offset_at(selected.start)
            self._end = max(self._start, document.offset_at(selected.end))
            self._entry = selected.text
            text = text[: self._start] + self._entry + text[self._end :]
        self.cursor = session.cursor(document, text, self._start + len(self._entry))

    def item(self, suggestion: Suggestion, key: str | None) -> dict[str, Any] | None:
        """None for what an editor cannot show: a range over several lines, or one that begins inside the entry."""
        start, text = suggestion.start, suggestion.text
        if self._entry:
            if start != self.cursor.offset:
                return None
            start, text = self._start, self._entry + text
        end = suggestion.end - len(self._entry) + self._end - self._start
        first = self._document.position_at(start)
        last = first if end == start else self._document.position_at(end)
        if first.line != last.line:
            return None
        return inline_completion_item(text, first, last, accepted_command(key))
