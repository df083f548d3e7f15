from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from lsprotocol import types as t

from starcoder_ls.lsp.converter import (
    _structure_inline_completion,
    _structure_key_stroke,
    converter,
    structure,
    unstructure_plain,
)
from starcoder_ls.lsp.request_handle import ResponseError

POSITION_PARAMS = {"textDocument": {"uri": "file:///a"}, "position": {"line": 1, "character": 2}}


INVOKED, AUTOMATIC = t.InlineCompletionTriggerKind.Invoked, t.InlineCompletionTriggerKind.Automatic


@pytest.mark.parametrize(("value", "kind"), [(1, INVOKED), (2, AUTOMATIC), (0, INVOKED)])
def test_trigger_kinds_of_old_and_new_clients_are_accepted(value: int, kind: t.InlineCompletionTriggerKind) -> None:
    params = structure({**POSITION_PARAMS, "context": {"triggerKind": value}}, t.InlineCompletionParams)
    assert params.context.trigger_kind is kind


def change(version: object, text: object) -> dict[str, Any]:
    return {"textDocument": {"uri": "a", "version": version}, "contentChanges": [{"text": text}]}


@pytest.mark.parametrize(
    ("raw", "target", "path"),
    [
        ({**POSITION_PARAMS, "context": {}}, t.InlineCompletionParams, "params.context.triggerKind"),
        ({**POSITION_PARAMS, "context": {"triggerKind": 3}}, t.InlineCompletionParams, "params.context.triggerKind"),
        ({**POSITION_PARAMS, "textDocument": {"uri": None}}, t.CompletionParams, "params.textDocument.uri"),
        ({**POSITION_PARAMS, "position": {"line": "1", "character": 0}}, t.CompletionParams, "params.position.line"),
        (change(2, None), t.DidChangeTextDocumentParams, "params.contentChanges[0]"),
        (change(True, "a"), t.DidChangeTextDocumentParams, "params.textDocument.version"),
        ("def secret(): ...", t.CompletionParams, "params.position"),
        (None, t.CompletionParams, "CompletionParams"),
    ],
)
def test_invalid_params_are_named_by_path_without_their_values(raw: Any, target: type, path: str) -> None:
    with pytest.raises(ResponseError) as caught:
        structure(raw, target)
    assert caught.value.code == -32602
    assert path in caught.value.message
    assert "secret" not in caught.value.message


def test_unknown_fields_of_newer_clients_are_ignored() -> None:
    params = structure(
        {**POSITION_PARAMS, "context": {"triggerKind": 1, "unknown": {"a": [1]}}, "more": 5}, t.InlineCompletionParams
    )
    assert params.position.line == 1


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
    fast = _structure_key_stroke(raw)
    if fast is not None:
        assert fast == converter().structure(raw, t.DidChangeTextDocumentParams)
    else:
        assert changes


@pytest.mark.parametrize("raw", [None, [], {}, {"textDocument": 1}, {**key_stroke(), "more": 1}, change(1, "a")])
def test_fast_path_rejects_other_changes(raw: Any) -> None:
    assert _structure_key_stroke(raw) is None


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
    fast = _structure_inline_completion(raw)
    if fast is not None:
        assert fast == converter().structure(raw, t.InlineCompletionParams)
    else:
        assert changes or more


@given(
    st.text(),
    st.none() | st.text(max_size=3),
    st.none() | st.just(t.Range(t.Position(1, 2), t.Position(1, 3))),
    st.none() | st.builds(t.Command, st.text(), st.text(), st.none() | st.text(), st.none() | st.just([{"id": "a"}])),
)
@example("text", None, t.Range(t.Position(1, 2), t.Position(1, 3)), t.Command("a", "b", arguments=[{"id": "c"}]))
def test_items_without_cattrs_equal_those_of_cattrs(
    text: str, filter_text: str | None, range_: t.Range | None, command: t.Command | None
) -> None:
    item = t.InlineCompletionItem(text, filter_text, range_, command)
    plain = unstructure_plain(item)
    is_usual = range_ and filter_text is None and (command is None or (command.arguments and command.tooltip is None))
    assert plain == (converter().unstructure(item) if is_usual else None)
