from __future__ import annotations

from pathlib import Path

import pytest
import torch

from starcoder_ls.engine.generation.token_selection import opening_only, samplers_of, select_tokens
from starcoder_ls.engine.runner.logits import Logits
from starcoder_ls.generation import FinishReason, Request, Sampling
from starcoder_ls.text_tokens.candidate import Candidate, StopCriteria
from starcoder_ls.text_tokens.tokenizer import Tokenizer


@pytest.fixture
def tokenizer(starcoder: Path) -> Tokenizer:
    return Tokenizer.from_folder(starcoder)


def logits(tokenizer: Tokenizer, *likely: str) -> torch.Tensor:
    """One row in which the first tokens of ``likely`` come first, in that order."""
    row = torch.zeros(1, tokenizer.vocabulary_size)
    for rank, text in enumerate(reversed(likely), start=1):
        row[0, tokenizer.encode([text])[0]] = 10.0 * rank
    return row


def drawn(row: torch.Tensor, tokenizer: Tokenizer, forced_prefix: str = "", **changes: object) -> tuple[str, Candidate]:
    request = Request(parts=("x",), max_new_tokens=8, **changes)  # type: ignore[arg-type]
    ending = StopCriteria(request, tokenizer, frozenset({0}))
    candidate = Candidate(0, tokenizer.initial_state(), forced_prefix)
    allowed = opening_only(Logits(row), [candidate], tokenizer)
    (token,), (after,) = select_tokens(allowed, [candidate], [candidate], samplers_of(request), ending)
    return tokenizer.decode([token.id]), after


def test_the_likeliest_token_is_taken(tokenizer: Tokenizer) -> None:
    assert drawn(logits(tokenizer, "x", "y"), tokenizer)[0] == "x"


def test_a_token_that_leaves_the_opening_is_never_taken(tokenizer: Tokenizer) -> None:
    text, after = drawn(logits(tokenizer, "x", "y"), tokenizer, forced_prefix="y1")
    assert text == "y"
    assert after.remaining_prefix == "1"
    assert after.text == ""


def test_an_end_does_not_come_before_the_opening(tokenizer: Tokenizer) -> None:
    row = logits(tokenizer, "x", "y")
    row[0, 0] = 1000.0
    assert drawn(row, tokenizer)[1].finish_reason is FinishReason.END_OF_TEXT
    text, after = drawn(row, tokenizer, forced_prefix="x")
    assert (text, after.finish_reason) == ("x", None)


def test_where_nothing_is_owed_nothing_is_masked(tokenizer: Tokenizer) -> None:
    row = Logits(logits(tokenizer, "x"))
    assert opening_only(row, [Candidate(0, tokenizer.initial_state())], tokenizer) is row


def test_only_the_first_of_several_is_greedy() -> None:
    several = Request(parts=("x",), max_new_tokens=1, candidates=3, sampling=Sampling(0.7))
    assert [sampler is None for sampler in samplers_of(several)] == [True, False, False]
    assert samplers_of(Request(parts=("x",), max_new_tokens=1)) == [None]


def test_a_candidate_does_not_end_as_a_copy_where_another_token_is_to_be_had(tokenizer: Tokenizer) -> None:
    request = Request(parts=("x",), max_new_tokens=1, candidates=2, sampling=Sampling(1.0))
    ending = StopCriteria(request, tokenizer, frozenset({0}))
    candidates = [Candidate(i, tokenizer.initial_state()) for i in range(2)]
    row = Logits(logits(tokenizer, "x", "y")).repeated(2)
    for seed in range(5):
        request = Request(parts=("x",), max_new_tokens=1, candidates=2, sampling=Sampling(1.0, 1.0, seed))
        _, after = select_tokens(row, candidates, candidates, samplers_of(request), ending)
        assert after[0].text != after[1].text
