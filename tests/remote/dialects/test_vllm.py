from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from starcoder_ls.generation import FinishReason, Request, Sampling
from starcoder_ls.remote.dialects.dialect import Piece, PromptIds, ServerFacts
from starcoder_ls.remote.dialects.vllm import VllmDialect, escape
from starcoder_ls.text_tokens.candidate import SampledToken

DIALECT = VllmDialect()
FACTS = ServerFacts(DIALECT, "coder", 2048, ("style",))


@given(st.text(max_size=30))
def test_escaped_text_matches_itself_only(text: str) -> None:
    assert re.fullmatch(escape(text), text)
    assert not re.fullmatch(escape(text), text + "x")


def test_request_asks_for_exact_ids_and_forces_the_prefix() -> None:
    request = Request(("x",), 9, forced_prefix=" f(", adapter="style", candidates=3, sampling=Sampling(0.5, 0.9, 4))
    first, others = DIALECT.calls(PromptIds(request, (1, 2), frozenset({3, 0})), FACTS)
    assert (first.path, first.body["model"], first.body["n"], others.body["n"]) == ("/v1/completions", "style", 1, 2)
    assert first.body["return_token_ids"] is True
    assert first.body["stop_token_ids"] == [0, 3]
    assert first.body["structured_outputs"] == {"regex": r" f\([\s\S]*"}
    assert "cache_salt" not in first.body  # a gateway sets it: a client could choose that of another user


def test_prefill_asks_for_one_token_since_none_is_refused() -> None:
    call = DIALECT.prefill_call(PromptIds(Request(("x",), 0), (1,)), FACTS)
    assert call.body["max_tokens"] == 1


def test_event_has_ids_logprobs_and_the_reason_of_the_end() -> None:
    choice = {"index": 1, "token_ids": [7, 8], "logprobs": {"token_logprobs": [-0.5, None]}, "finish_reason": "length"}
    tokens = (SampledToken(7, -0.5), SampledToken(8, 0.0))
    assert DIALECT.read_event({"choices": [choice]}) == [Piece(1, tokens, finish_reason=FinishReason.LENGTH)]
    choice = {"index": 0, "token_ids": None, "logprobs": None, "finish_reason": "stop"}
    assert DIALECT.read_event({"choices": [choice]}) == [Piece(finish_reason=FinishReason.END_OF_TEXT)]


def test_usage_says_how_much_of_the_prompt_was_cached() -> None:
    event = {"choices": [], "usage": {"prompt_tokens_details": {"cached_tokens": 384}}}
    assert DIALECT.read_event(event) == [Piece(reused_tokens=384)]


@pytest.mark.parametrize("event", [{"choices": [{"index": "a"}]}, {"choices": [5]}, {"choices": [{"token_ids": [1]}]}])
def test_other_formats_raise_an_error_that_callers_expect(event: dict[str, object]) -> None:
    with pytest.raises((KeyError, TypeError, ValueError, AttributeError)):
        DIALECT.read_event(event)
