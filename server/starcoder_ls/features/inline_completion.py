"""``textDocument/inlineCompletion``: ghost text at the cursor.

Decides how many suggestions are asked for, which request they answer, and whether they still fit when they come.
Refuses to know prompts and models.
"""

from __future__ import annotations

from lsprotocol import types as t

from starcoder_ls.completion.suggest import Suggestion
from starcoder_ls.lsp.documents.document import Document, Position
from starcoder_ls.lsp.request_handle import RequestHandle
from starcoder_ls.session.session import Session


def is_asked(params: t.InlineCompletionParams) -> bool:
    """By hand, rather than by typing."""
    return params.context.trigger_kind is t.InlineCompletionTriggerKind.Invoked


async def inline_completion(
    session: Session, params: t.InlineCompletionParams, call: RequestHandle
) -> list[t.InlineCompletionItem] | None:
    """Empty where there is nothing to say here, which takes an older suggestion off Neovim's screen; null where another
    request may have said something: an empty list would take that off too."""
    uri = params.text_document.uri
    is_latest = await session.is_latest(t.TEXT_DOCUMENT_INLINE_COMPLETION, uri, call)
    wanted = session.settings.inline_completion
    if not is_latest or session.is_behind:
        return None
    engine = session.supervisor.ready_engine() or await session.supervisor.wait_until_ready(session.patience_s)
    if engine is None:
        return None
    document = session.documents.readable(uri)
    if not wanted.is_wanted_in(document.language):
        return []
    asked = _Asked(session, document, params)
    candidates = wanted.candidates if is_asked(params) else 1
    suggestions = await session.desk(uri).ask(engine, asked.cursor, wanted, candidates)
    if not session.documents.is_still(document, asked.text):
        return None
    commands = session.feedback.offered(asked.cursor, suggestions)
    items = [asked.item(suggestion, command) for suggestion, command in zip(suggestions, commands, strict=True)]
    return [item for item in items if item]


class _Asked:
    """The cursor a request means, and how suggestions at it become items.

    While a menu is open the ghost has to continue its selected entry (``selectedCompletionInfo``): then the model
    reads the document as if that entry were accepted, and items begin with it.
    """

    def __init__(self, session: Session, document: Document, params: t.InlineCompletionParams) -> None:
        self.document, self.text = document, document.text
        offset = document.offset_at(_position(params.position))
        self._start, self._end, self._selected = offset, offset, ""
        if (entry := params.context.selected_completion_info) is not None and entry.text:
            self._start = document.offset_at(_position(entry.range.start))
            self._end = max(self._start, document.offset_at(_position(entry.range.end)))
            self._selected = entry.text
        text = self._as_if_accepted() if self._selected else self.text
        self.cursor = session.cursor(document, text, self._start + len(self._selected))

    def _as_if_accepted(self) -> str:
        return self.text[: self._start] + self._selected + self.text[self._end :]

    def item(self, suggestion: Suggestion, command: t.Command | None) -> t.InlineCompletionItem | None:
        """None for what an editor cannot show: a range over several lines, or one that begins inside the entry."""
        grown = len(self._selected) - (self._end - self._start)
        start, end = suggestion.start, suggestion.end - grown
        text = suggestion.text
        if self._selected:
            if start != self.cursor.offset:
                return None
            start, text = self._start, self._selected + text
        first, last = self.document.position_at(start), self.document.position_at(end)
        if first.line != last.line:
            return None
        shown = t.Range(t.Position(first.line, first.column), t.Position(last.line, last.column))
        return t.InlineCompletionItem(insert_text=text, range=shown, command=command)


def _position(position: t.Position) -> Position:
    return Position(position.line, position.character)
