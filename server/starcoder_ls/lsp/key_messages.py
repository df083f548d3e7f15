"""The messages of each key as plain values: a change of a document, a request for inline completion, and its items.

Decides how lsprotocol's types become these values. The usual messages become them without lsprotocol, whose validating
classes and cattrs' hooks are no longer in the processor's caches between two keys.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lsprotocol import types as t

from starcoder_ls.lsp.documents.document import Edit, Position

UINTEGER_LIMIT = 1 << 31  # LSP's uinteger is smaller

NO_VERSION = -UINTEGER_LIMIT
"""Stands for the version of a change that has none: lsprotocol's type requires one."""


@dataclass(frozen=True, slots=True)
class DocumentChange:
    """The params of ``textDocument/didChange``; ``version`` is None if the client sent none."""

    uri: str
    version: int | None
    edits: list[Edit]


@dataclass(frozen=True, slots=True)
class SelectedEntry:
    """The selected entry of an open menu, and the range that it would replace."""

    text: str
    start: Position
    end: Position


@dataclass(frozen=True, slots=True)
class InlineCompletionRequest:
    """The params of ``textDocument/inlineCompletion``. ``is_invoked``: by the user, not by typing."""

    uri: str
    position: Position
    is_invoked: bool
    selected: SelectedEntry | None = None


def read_key_stroke(raw: Any) -> DocumentChange | None:
    """A change as one key stroke makes it; None for anything else, valid or not."""
    try:
        document, (change,) = raw["textDocument"], raw["contentChanges"]
        uri, version, text = document["uri"], document["version"], change["text"]
        start, end = change["range"]["start"], change["range"]["end"]
        has_length = "rangeLength" in change  # VS Code's
        numbers = (
            version, start["line"], start["character"], end["line"], end["character"],
            change["rangeLength"] if has_length else 0,
        )  # fmt: skip
    except (KeyError, TypeError, ValueError):
        return None
    if not len(raw) == len(document) == len(change) - has_length == 2 or not type(uri) is type(text) is str:
        return None
    for number in numbers:
        if type(number) is not int or not 0 <= number < UINTEGER_LIMIT:
            return None
    edit = Edit(text, Position(numbers[1], numbers[2]), Position(numbers[3], numbers[4]))
    return DocumentChange(uri, version, [edit])


def read_usual_request(raw: Any) -> InlineCompletionRequest | None:
    """A request as editors send it at each key; None for anything else, valid or not."""
    try:
        document, context, position = raw["textDocument"], raw["context"], raw["position"]
        uri, trigger_kind = document["uri"], context["triggerKind"]
        line, character = position["line"], position["character"]
    except (KeyError, TypeError):
        return None
    if len(raw) != 3 or not len(document) == len(context) == 1 or len(position) != 2 or type(uri) is not str:
        return None
    if not type(line) is type(character) is type(trigger_kind) is int or not 0 <= trigger_kind <= 2:
        return None
    if not (0 <= line < UINTEGER_LIMIT and 0 <= character < UINTEGER_LIMIT):
        return None
    return InlineCompletionRequest(uri, Position(line, character), trigger_kind != 2)


def document_change(params: t.DidChangeTextDocumentParams) -> DocumentChange:
    """``params`` as plain values."""
    document = params.text_document
    return DocumentChange(document.uri, version_or_none(document.version), read_edits(params.content_changes))


def inline_completion_request(params: t.InlineCompletionParams) -> InlineCompletionRequest:
    """``params`` as plain values."""
    is_invoked = params.context.trigger_kind is t.InlineCompletionTriggerKind.Invoked
    selected = params.context.selected_completion_info
    entry = None
    if selected is not None:
        entry = SelectedEntry(selected.text, _position(selected.range.start), _position(selected.range.end))
    return InlineCompletionRequest(params.text_document.uri, _position(params.position), is_invoked, entry)


def read_edits(changes: Sequence[t.TextDocumentContentChangeEvent]) -> list[Edit]:
    """``changes`` with positions in the client's encoding; without positions where the whole text is replaced."""
    return [
        Edit(change.text)
        if isinstance(change, t.TextDocumentContentChangeWholeDocument)
        else Edit(change.text, _position(change.range.start), _position(change.range.end))
        for change in changes
    ]


def version_or_none(version: int) -> int | None:
    """None for ``NO_VERSION``."""
    return None if version == NO_VERSION else version


def inline_completion_item(
    text: str, first: Position, last: Position, command: dict[str, Any] | None
) -> dict[str, Any]:
    """LSP's ``InlineCompletionItem``, which replaces the text between two positions, as a JSON value."""
    item: dict[str, Any] = {
        "insertText": text,
        "range": {
            "start": {"line": first.line, "character": first.column},
            "end": {"line": last.line, "character": last.column},
        },
    }
    if command is not None:
        item["command"] = command
    return item


def _position(position: t.Position) -> Position:
    return Position(position.line, position.character)
