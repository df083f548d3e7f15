from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from lsprotocol import types as t

from starcoder_ls.lsp.converter import _structure_key_stroke, converter, structure
from starcoder_ls.lsp.request_handle import ResponseError

PLACE = {"textDocument": {"uri": "file:///a"}, "position": {"line": 1, "character": 2}}


INVOKED, AUTOMATIC = t.InlineCompletionTriggerKind.Invoked, t.InlineCompletionTriggerKind.Automatic


@pytest.mark.parametrize(("value", "kind"), [(1, INVOKED), (2, AUTOMATIC), (0, INVOKED)])
def test_trigger_kinds_of_both_generations_of_clients(value: int, kind: t.InlineCompletionTriggerKind) -> None:
    params = structure({**PLACE, "context": {"triggerKind": value}}, t.InlineCompletionParams)
    assert params.context.trigger_kind is kind


def change(version: object, text: object) -> dict[str, Any]:
    return {"textDocument": {"uri": "a", "version": version}, "contentChanges": [{"text": text}]}


@pytest.mark.parametrize(
    ("raw", "kind", "place"),
    [
        ({**PLACE, "context": {}}, t.InlineCompletionParams, "params.context.triggerKind"),
        ({**PLACE, "context": {"triggerKind": 3}}, t.InlineCompletionParams, "params.context.triggerKind"),
        ({**PLACE, "textDocument": {"uri": None}}, t.CompletionParams, "params.textDocument.uri"),
        ({**PLACE, "position": {"line": "1", "character": 0}}, t.CompletionParams, "params.position.line"),
        (change(2, None), t.DidChangeTextDocumentParams, "params.contentChanges[0]"),
        (change(True, "a"), t.DidChangeTextDocumentParams, "params.textDocument.version"),
        ("def secret(): ...", t.CompletionParams, "params.position"),
        (None, t.CompletionParams, "CompletionParams"),
    ],
)
def test_what_does_not_fit_is_named_by_place_and_not_quoted(raw: Any, kind: type, place: str) -> None:
    with pytest.raises(ResponseError) as caught:
        structure(raw, kind)
    assert caught.value.code == -32602
    assert place in caught.value.message
    assert "secret" not in caught.value.message


def test_what_a_newer_client_adds_is_passed_over() -> None:
    params = structure(
        {**PLACE, "context": {"triggerKind": 1, "novelty": {"a": [1]}}, "more": 5}, t.InlineCompletionParams
    )
    assert params.position.line == 1


def typed(**changes: object) -> dict[str, Any]:
    """A change as a key makes it; ``changes`` replace what they name, wherever that is."""
    named = {"uri": "file:///a", "version": 2, "line": 1, "character": 3, "text": "x", "length": 0} | changes
    start = {"line": named["line"], "character": 0}
    end = {"line": 4, "character": named["character"]}
    change = {"range": {"start": start, "end": end}, "text": named["text"], "rangeLength": named["length"]}
    if named["length"] == "absent":
        del change["rangeLength"]
    return {"textDocument": {"uri": named["uri"], "version": named["version"]}, "contentChanges": [change]}


VALUES = st.one_of(st.integers(-1, 3), st.sampled_from([2**31 - 1, 2**31, True, None, 1.0, "1", "absent", [], {}]))


@given(st.dictionaries(st.sampled_from(["uri", "version", "line", "character", "text", "length"]), VALUES, max_size=2))
@example({})
@example({"length": "absent"})
def test_a_key_is_read_as_cattrs_reads_it_or_left_to_it(changes: dict[str, object]) -> None:
    raw = typed(**changes)
    quick = _structure_key_stroke(raw)
    if quick is not None:
        assert quick == converter().structure(raw, t.DidChangeTextDocumentParams)
    else:
        assert changes


@pytest.mark.parametrize("raw", [None, [], {}, {"textDocument": 1}, {**typed(), "more": 1}, change(1, "a")])
def test_what_no_key_makes_is_left_to_cattrs(raw: Any) -> None:
    assert _structure_key_stroke(raw) is None
