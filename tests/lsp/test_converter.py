from __future__ import annotations

from typing import Any

import pytest
from lsprotocol import types as t

from starcoder_ls.lsp.converter import structure
from starcoder_ls.lsp.key_messages import DocumentChange, InlineCompletionRequest
from starcoder_ls.lsp.request_handle import ResponseError

POSITION_PARAMS = {"textDocument": {"uri": "file:///a"}, "position": {"line": 1, "character": 2}}


@pytest.mark.parametrize(("value", "is_invoked"), [(1, True), (2, False), (0, True)])
@pytest.mark.parametrize("more", [{}, {"workDoneToken": 1}], ids=["usual", "unusual"])
def test_trigger_kinds_of_old_and_new_clients_are_accepted(value: int, is_invoked: bool, more: dict[str, Any]) -> None:
    request = structure({**POSITION_PARAMS, "context": {"triggerKind": value}, **more}, InlineCompletionRequest)
    assert request.is_invoked is is_invoked


def change(version: object, text: object) -> dict[str, Any]:
    return {"textDocument": {"uri": "a", "version": version}, "contentChanges": [{"text": text}]}


@pytest.mark.parametrize(
    ("raw", "target", "path"),
    [
        ({**POSITION_PARAMS, "context": {}}, InlineCompletionRequest, "params.context.triggerKind"),
        ({**POSITION_PARAMS, "context": {"triggerKind": 3}}, InlineCompletionRequest, "params.context.triggerKind"),
        ({**POSITION_PARAMS, "textDocument": {"uri": None}}, t.CompletionParams, "params.textDocument.uri"),
        ({**POSITION_PARAMS, "position": {"line": "1", "character": 0}}, t.CompletionParams, "params.position.line"),
        (change(2, None), DocumentChange, "params.contentChanges[0]"),
        (change(True, "a"), DocumentChange, "params.textDocument.version"),
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
    request = structure(
        {**POSITION_PARAMS, "context": {"triggerKind": 1, "unknown": {"a": [1]}}, "more": 5}, InlineCompletionRequest
    )
    assert request.position.line == 1
