from __future__ import annotations

import json

import pytest

from starcoder_ls.daemon import message


def test_parse_keeps_the_body_and_reads_its_fields() -> None:
    body = b'{"jsonrpc": "2.0", "id": "7",  "method": "m", "params": {"a": 1}}'
    parsed = message.parse(body)
    assert parsed.body == body
    assert (parsed.id, parsed.method, parsed.params) == ("7", "m", {"a": 1})


@pytest.mark.parametrize("body", [b"{", b"[]", b"1", b"\xff", b"[" * 100_000])
def test_parse_has_no_fields_if_the_body_is_no_json_object(body: bytes) -> None:
    parsed = message.parse(body)
    assert (parsed.body, dict(parsed.fields)) == (body, {})
    assert (parsed.method, parsed.params, parsed.id_key) == (None, {}, None)


def test_wrong_types_of_method_and_params_are_ignored() -> None:
    parsed = message.parse(b'{"id": true, "method": 3, "params": [1]}')
    assert (parsed.method, parsed.params, parsed.id_key) == (None, {}, None)


def test_id_keys_differ_between_a_number_and_its_string() -> None:
    assert message.id_key(1) != message.id_key("1")
    assert message.id_key(None) is message.id_key(1.5) is None


def test_encode_adds_the_protocol_version() -> None:
    assert json.loads(message.encode(id=1, result=None)) == {"jsonrpc": "2.0", "id": 1, "result": None}
