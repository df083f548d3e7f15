"""``textDocument/completion``: the suggestion as one entry of the menu, for editors without ghost text.

Decides how the entry looks and what editors filter it by. Refuses to know prompts and models.
"""

from __future__ import annotations

import re

from lsprotocol import types as t

from starcoder_ls.completion.metrics import described
from starcoder_ls.completion.suggest import Suggestion
from starcoder_ls.lsp.documents.document import Document, Position
from starcoder_ls.lsp.request_handle import RequestHandle
from starcoder_ls.session.session import Session

_LABEL_CHARS = 60
_WORD_BEFORE = re.compile(r"\w*\Z")


async def completion(session: Session, params: t.CompletionParams, call: RequestHandle) -> t.CompletionList | None:
    """One entry: menus ask at every key, and by hand looks the same to us as typing."""
    uri = params.text_document.uri
    is_latest = await session.is_latest(t.TEXT_DOCUMENT_COMPLETION, uri, call)
    wanted, engine = session.settings.inline_completion, session.supervisor.ready_engine()
    if not is_latest or engine is None or session.is_behind:
        return None
    document = session.documents.readable(uri)
    if not wanted.is_wanted_in(document.language):
        return None
    text = document.text
    offset = document.offset_at(Position(params.position.line, params.position.character))
    cursor = session.cursor(document, text, offset)
    suggestions = await session.desk(uri).ask(engine, cursor, wanted)
    if not session.documents.is_still(document, text):
        return None
    commands = session.feedback.offered(cursor, suggestions)
    items = [_item(document, offset, *one) for one in zip(suggestions, commands, strict=True)]
    return t.CompletionList(is_incomplete=True, items=[item for item in items if item])


def _item(
    document: Document, offset: int, suggestion: Suggestion, command: t.Command | None
) -> t.CompletionItem | None:
    """The entry replaces from the start of the word at the cursor, so that what is typed is a prefix of it.

    Editors differ in what they compare ``filterText`` with (the word, or the text in the range); so both are the same.
    None where the range is not on the cursor's line, which LSP forbids.
    """
    here = document.position_at(offset)
    line_start = document.offset_at(Position(here.line, 0))
    word = _WORD_BEFORE.search(document.text, line_start, offset)
    start = min(word.start() if word else offset, suggestion.start)
    new_text = document.text[start : suggestion.start] + suggestion.text
    first, last = document.position_at(start), document.position_at(suggestion.end)
    if (first.line, last.line) != (here.line, here.line) or suggestion.end < offset:
        return None
    shown = new_text.strip().partition("\n")[0].rstrip()
    is_whole = shown == new_text.strip() and len(shown) <= _LABEL_CHARS
    return t.CompletionItem(
        label=shown if is_whole else f"{shown[:_LABEL_CHARS]} …",
        kind=t.CompletionItemKind.Snippet,
        detail="StarCoder",
        documentation=None if is_whole else new_text,
        preselect=True,
        sort_text="\x20",
        filter_text=new_text.partition("\n")[0] or new_text,
        insert_text_format=t.InsertTextFormat.PlainText,
        command=command,
        data=described(suggestion.source, suggestion.timings),
        insert_text_mode=t.InsertTextMode.AsIs,
        text_edit=t.TextEdit(
            range=t.Range(t.Position(first.line, first.column), t.Position(last.line, last.column)), new_text=new_text
        ),
    )
