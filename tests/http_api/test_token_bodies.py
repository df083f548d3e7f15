from __future__ import annotations

import json

import pytest
from pydantic import ValidationError

from starcoder_ls.http_api.token_bodies import ReplicaCompletionsBody, StructuredOutputs, has_token_ids
from starcoder_ls.remote.dialects.vllm import escape
from starcoder_ls.remote.tokenizer_source import PROBE_TEXT


@pytest.mark.parametrize("text", [PROBE_TEXT, " ret", "", "a.b(c)[d]\\e^$*+?{|}\r\n\t-#", "[\\s\\S]*", "漢😀"])
def test_forced_text_is_what_the_client_escaped(text: str) -> None:
    beginning, whole = StructuredOutputs(regex=escape(text) + r"[\s\S]*"), StructuredOutputs(regex=escape(text))
    assert (beginning.text, beginning.is_whole_answer) == (text, False)
    assert (whole.text, whole.is_whole_answer) == (text, True)


@pytest.mark.parametrize("regex", [r"(a+)+[\s\S]*", "a*", r"\d", r"[\s\S]*[\s\S]*", "a\nb", "[ab]"])
def test_expression_that_is_no_literal_text_is_refused(regex: str) -> None:
    with pytest.raises(ValidationError, match="literal"):
        StructuredOutputs(regex=regex)


def test_prompt_decides_which_body_a_request_has() -> None:
    assert has_token_ids(b'{"prompt": [1, 2]}')
    for data in (b'{"prompt": "text"}', b'{"prompt": ["text"]}', b'{"prompt": []}', b"{}", b"[1]", b"{", b"[" * 10**5):
        assert not has_token_ids(data)


def test_replica_takes_the_fields_that_the_gateway_adds() -> None:
    body = {"model": "m", "prompt": [1], "max_tokens": 1, "cache_salt": "salt", "stream": True,
            "stream_options": {"include_usage": True, "continuous_usage_stats": True}}  # fmt: skip
    assert ReplicaCompletionsBody.model_validate_json(json.dumps(body)).cache_salt == "salt"
