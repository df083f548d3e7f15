from __future__ import annotations

import json
from typing import Any

import pytest

from starcoder_ls.lsp import json_body
from starcoder_ls.lsp.json_body import MAX_TOKENS, TooManyValues, parse_body

MANY = MAX_TOKENS + 10


SMALL_VALUES = [b"{},", b"[],", b"1,", b'"",', b'""', b'{"a":1},', b'"\\\\",']


@pytest.mark.parametrize("value", SMALL_VALUES)
def test_message_of_many_small_values_is_refused_unparsed(value: bytes) -> None:
    with pytest.raises(TooManyValues) as caught:
        parse_body(b'{"jsonrpc":"2.0","id":7,"method":"a/b","params":[' + value * MANY + b"1]}")
    assert caught.value.head == {"id": 7, "method": "a/b"}


def test_long_text_full_of_brackets_is_parsed() -> None:
    text = '{[,\\"]}\n' * MAX_TOKENS
    assert parse_body(json.dumps({"text": text}).encode()) == {"text": text}


INVALID = [b'"' + b"a{" * 2_000_000, b'"' + b"\\" * 2_000_001, b"[" * 10_000, b"NaN", b"\xff", b""]


@pytest.mark.parametrize("body", INVALID, ids=range(len(INVALID)))
def test_invalid_body_is_rejected_in_linear_time(body: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - json raises it with any text
        parse_body(body)


@pytest.mark.parametrize(
    ("start", "head"),
    [
        (b'{"params":{"id":1,"method":"x"},"id":2}', {}),
        (b'{"id":"a\\"b","method":"x"}', {"method": "x"}),
        (b'{ "id" : "k" , "method" : "x" }', {"id": "k", "method": "x"}),
        (b'{"id":1.5,"method":"x"}', {"method": "x"}),
        (b"", {}),
    ],
)
def test_head_of_an_unparsed_message(start: bytes, head: dict[str, Any]) -> None:
    assert json_body._read_head(start) == head
