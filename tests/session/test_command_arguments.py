from __future__ import annotations

from typing import Any

import pytest

from starcoder_ls.lsp.request_handle import ResponseError
from starcoder_ls.session.command_arguments import ActionArguments, AttachArguments, parse_arguments

RANGE = {"start": {"line": 0, "character": 0}, "end": {"line": 1, "character": 0}}


def test_valid_arguments_are_parsed() -> None:
    arguments = parse_arguments(ActionArguments, {"uri": "u", "range": RANGE, "token": 5}, "x")
    assert (arguments.action, arguments.range.end.line, arguments.token) == ("explain", 1, 5)
    attach = parse_arguments(AttachArguments, {"name": "a", "path": "p", "tasks": ["explain"]}, "x")
    assert attach.adapter.tasks == ("explain",)


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ({"range": RANGE}, "`uri` is missing"),
        ({"uri": "secret", "range": RANGE, "versio": 1}, "`versio` is not known"),
        ({"uri": 5, "range": RANGE}, "`uri`: "),
        ({"uri": "secret", "range": RANGE, "version": "1"}, "`version`: "),
        ({"uri": "secret", "range": {"start": {"line": True, "character": 0}, "end": {}}}, "range.start.line"),
        ([], "argument of a command"),
        (None, "argument of a command"),
    ],
)
def test_invalid_fields_are_named_without_their_values(raw: Any, expected: str) -> None:
    with pytest.raises(ResponseError) as caught:
        parse_arguments(ActionArguments, raw, "a command")
    assert caught.value.code == -32602
    assert expected in caught.value.message
    assert "secret" not in caught.value.message
