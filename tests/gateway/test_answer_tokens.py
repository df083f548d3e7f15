from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from starcoder_ls.gateway.answer_tokens import AnswerTokens

ANSWER = (
    b'data: {"choices": [{"token_ids": [1, 2]}], "usage": {"prompt_tokens_details": {"cached_tokens": 16}}}\n\n'
    b'data: {"choices": [{"token_ids": [3]}, {"token_ids": null}]}\n\ndata: {"choices": []}\n\ndata: [DONE]\n\n'
)


@given(st.integers(1, 60))
def test_tokens_are_counted_however_the_bytes_are_divided(size: int) -> None:
    tokens = AnswerTokens()
    for start in range(0, len(ANSWER), size):
        tokens.feed(ANSWER[start : start + size])
    assert (tokens.generated, tokens.reused) == (3, 16)


@given(st.binary(max_size=200))
def test_other_bytes_are_not_counted(data: bytes) -> None:
    tokens = AnswerTokens()
    tokens.feed(b'data: {"choices": 1}\ndata: {"choices": [1]}\ndata: {"usage": []}\n' + data)
    assert (tokens.generated, tokens.reused) == (0, 0)
