"""``textDocument/completion``: the suggestion as one entry of the menu, for editors without ghost text.

Decides what the entry looks like and what editors filter it by.
"""

from __future__ import annotations

import re
from functools import partial

from lsprotocol import types as t

from starcoder_ls.completion.metrics import describe_answer
from starcoder_ls.completion.suggestion import Suggestion
from starcoder_ls.lsp.documents.document import Document, Position
from starcoder_ls.lsp.request_handle import RequestHandle
from starcoder_ls.session.feedback import accepted_command
from starcoder_ls.session.session import Session

_MAX_LABEL_CHARS = 60
_MAX_WORD_CHARS = 200
_WORD_BEFORE = re.compile(r"\w*\Z")


async def completion(session: Session, params: t.CompletionParams, handle: RequestHandle) -> t.CompletionList | None:
    """One entry: editors send a request at every key, and an explicit request does not differ from these.

    Null if there is no answer, or if the settings allow no suggestions in the document's language.
    """
    uri, convert = params.text_document.uri, partial(_Conversion, session, params)
    result = await session.completion_requests.complete(t.TEXT_DOCUMENT_COMPLETION, uri, handle, convert)
    if result is None or not result.is_enabled:
        return None
    return t.CompletionList(is_incomplete=True, items=result.items)


class _Conversion:
    """The cursor of a request, and the menu entry for a suggestion at it."""

    def __init__(self, session: Session, params: t.CompletionParams, document: Document) -> None:
        self._document = document
        offset = document.offset_at(Position(params.position.line, params.position.character))
        self.cursor = session.cursor(document, document.text, offset)

    def item(self, suggestion: Suggestion, key: str | None) -> t.CompletionItem | None:
        """The entry replaces from the start of the word at the cursor on, so that what is typed is a prefix of it.

        Editors compare ``filterText`` with the word at the cursor or with the replaced text; this makes both the same.
        None if the range is not on the cursor's line, which LSP forbids.
        """
        document, offset = self._document, self.cursor.offset
        line = document.position_at(offset).line
        line_start = document.offset_at(Position(line, 0))
        word = _WORD_BEFORE.search(document.text, max(line_start, offset - _MAX_WORD_CHARS), offset)
        start = min(word.start() if word else offset, suggestion.start)
        new_text = document.text[start : suggestion.start] + suggestion.text
        first, last = document.position_at(start), document.position_at(suggestion.end)
        if (first.line, last.line) != (line, line) or suggestion.end < offset:
            return None
        replaced = t.Range(t.Position(first.line, first.column), t.Position(last.line, last.column))
        command = accepted_command(key)
        first_line = new_text.strip().partition("\n")[0].rstrip()
        is_whole = first_line == new_text.strip() and len(first_line) <= _MAX_LABEL_CHARS
        return t.CompletionItem(
            label=first_line if is_whole else f"{first_line[:_MAX_LABEL_CHARS]} …",
            kind=t.CompletionItemKind.Snippet,
            detail="StarCoder",
            documentation=None if is_whole else new_text,
            preselect=True,
            sort_text="\x20",
            filter_text=new_text.partition("\n")[0] or new_text,
            insert_text_format=t.InsertTextFormat.PlainText,
            command=None if command is None else t.Command(**command),
            data=describe_answer(suggestion.source, suggestion.timings),
            insert_text_mode=t.InsertTextMode.AsIs,
            text_edit=t.TextEdit(range=replaced, new_text=new_text),
        )
