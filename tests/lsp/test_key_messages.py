from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from lsprotocol import types as t

from starcoder_ls.lsp.converter import converter, structure
from starcoder_ls.lsp.documents.document import Edit, Position
from starcoder_ls.lsp.key_messages import (
    DocumentChange,
    InlineCompletionRequest,
    SelectedEntry,
    document_change,
    inline_completion_item,
    inline_completion_request,
    read_key_stroke,
    read_usual_request,
)

WHOLE_TEXT = {"textDocument": {"uri": "a", "version": 1}, "contentChanges": [{"text": "a"}]}


def key_stroke(**changes: object) -> dict[str, Any]:
    """The change of a key stroke, with the fields in ``changes`` replaced."""
    fields = {"uri": "file:///a", "version": 2, "line": 1, "character": 3, "text": "x", "length": 0} | changes
    start = {"line": fields["line"], "character": 0}
    end = {"line": 4, "character": fields["character"]}
    change = {"range": {"start": start, "end": end}, "text": fields["text"], "rangeLength": fields["length"]}
    if fields["length"] == "absent":
        del change["rangeLength"]
    return {"textDocument": {"uri": fields["uri"], "version": fields["version"]}, "contentChanges": [change]}


VALUES = st.one_of(st.integers(-1, 3), st.sampled_from([2**31 - 1, 2**31, True, None, 1.0, "1", "absent", [], {}]))


@given(st.dictionaries(st.sampled_from(["uri", "version", "line", "character", "text", "length"]), VALUES, max_size=2))
@example({})
@example({"length": "absent"})
def test_fast_path_for_key_strokes_equals_cattrs(changes: dict[str, object]) -> None:
    raw = key_stroke(**changes)
    fast = read_key_stroke(raw)
    if fast is not None:
        assert fast == document_change(converter().structure(raw, t.DidChangeTextDocumentParams))
    else:
        assert changes


@pytest.mark.parametrize("raw", [None, [], {}, {"textDocument": 1}, {**key_stroke(), "more": 1}, WHOLE_TEXT])
def test_fast_path_rejects_other_changes(raw: Any) -> None:
    assert read_key_stroke(raw) is None


@given(
    st.dictionaries(st.sampled_from(["uri", "line", "character", "triggerKind"]), VALUES, max_size=2),
    st.dictionaries(st.sampled_from(["workDoneToken", "context", "position", "textDocument"]), VALUES, max_size=1),
)
@example({}, {})
@example({"triggerKind": 0}, {})
def test_fast_path_for_inline_completion_equals_cattrs(changes: dict[str, object], more: dict[str, object]) -> None:
    fields = {"uri": "file:///a", "line": 1, "character": 3, "triggerKind": 2} | changes
    raw = {
        "textDocument": {"uri": fields["uri"]},
        "position": {"line": fields["line"], "character": fields["character"]},
        "context": {"triggerKind": fields["triggerKind"]},
    } | more
    fast = read_usual_request(raw)
    if fast is not None:
        assert fast == inline_completion_request(converter().structure(raw, t.InlineCompletionParams))
    else:
        assert changes or more


def test_change_of_the_whole_text_without_a_version_is_read() -> None:
    raw = {"textDocument": {"uri": "a"}, "contentChanges": [{"text": "a"}, *key_stroke()["contentChanges"]]}
    edits = [Edit("a"), Edit("x", Position(1, 0), Position(4, 3))]
    assert structure(raw, DocumentChange) == DocumentChange("a", None, edits)


def test_request_with_a_selected_entry_is_read() -> None:
    at = {"line": 1, "character": 2}
    context = {"triggerKind": 2, "selectedCompletionInfo": {"range": {"start": at, "end": at}, "text": "append"}}
    request = structure({"textDocument": {"uri": "a"}, "position": at, "context": context}, InlineCompletionRequest)
    entry = SelectedEntry("append", Position(1, 2), Position(1, 2))
    assert request == InlineCompletionRequest("a", Position(1, 2), is_invoked=False, selected=entry)


@pytest.mark.parametrize("command", [None, {"title": "a", "command": "b", "arguments": [{"id": "c"}]}])
def test_items_equal_those_of_cattrs(command: dict[str, Any] | None) -> None:
    typed = t.InlineCompletionItem(
        "text",
        range=t.Range(t.Position(1, 2), t.Position(1, 3)),
        command=None if command is None else t.Command(**command),
    )
    assert inline_completion_item("text", Position(1, 2), Position(1, 3), command) == converter().unstructure(typed)
