from __future__ import annotations

from array import array
from pathlib import Path

import pytest
import torch

from starcoder_ls.engine.generation.token_selection import build_samplers, mask_forced_prefix, select_tokens
from starcoder_ls.engine.logits import Logits
from starcoder_ls.errors import ModelUnsupported
from starcoder_ls.generation import FinishReason, Request, Sampling
from starcoder_ls.text_tokens.candidate import Candidate, StopCriteria
from starcoder_ls.text_tokens.tokenizer import Tokenizer


@pytest.fixture
def tokenizer(starcoder: Path) -> Tokenizer:
    return Tokenizer.from_folder(starcoder)


def logits(tokenizer: Tokenizer, *likely: str) -> torch.Tensor:
    """One row in which the first tokens of ``likely`` are the most likely, in that order."""
    row = torch.zeros(1, tokenizer.vocabulary_size)
    for rank, text in enumerate(reversed(likely), start=1):
        row[0, tokenizer.encode([text])[0]] = 10.0 * rank
    return row


def select_one(
    row: torch.Tensor, tokenizer: Tokenizer, forced_prefix: str = "", **changes: object
) -> tuple[str, Candidate]:
    request = Request(parts=("x",), max_new_tokens=8, **changes)  # type: ignore[arg-type]
    criteria = StopCriteria(request, tokenizer, frozenset({0}))
    candidate = Candidate(0, tokenizer.initial_state(), forced_prefix)
    allowed = mask_forced_prefix(Logits(row), [candidate], tokenizer)
    (token,), (after,) = select_tokens(allowed, [candidate], [candidate], build_samplers(request), criteria)
    return tokenizer.decode([token.id]), after


def test_most_likely_token_is_selected(tokenizer: Tokenizer) -> None:
    assert select_one(logits(tokenizer, "x", "y"), tokenizer)[0] == "x"


def test_token_that_contradicts_the_forced_prefix_is_not_selected(tokenizer: Tokenizer) -> None:
    text, after = select_one(logits(tokenizer, "x", "y"), tokenizer, forced_prefix="y1")
    assert text == "y"
    assert tokenizer.remaining_prefix(after.decoded, "y1") == b"1"
    assert after.text == ""


def test_forced_character_that_no_token_has_is_made_of_its_bytes(tokenizer: Tokenizer) -> None:
    row, made = logits(tokenizer, "x", "y"), Candidate(0, tokenizer.initial_state(), "é(")
    criteria = StopCriteria(Request(parts=("x",), max_new_tokens=8), tokenizer, frozenset({0}))
    for _ in range(3):
        allowed = mask_forced_prefix(Logits(row), [made], tokenizer)
        (_, (made,)) = select_tokens(allowed, [made], [made], [None], criteria)
    assert (made.decoded.text, made.text) == ("é(", "")


def test_forced_prefix_without_tokens_is_refused(tokenizer: Tokenizer) -> None:
    tokenizer.prefix_compatible_ids = lambda _: array("q")  # type: ignore[assignment]
    with pytest.raises(ModelUnsupported, match="no tokens"):
        select_one(logits(tokenizer, "x"), tokenizer, forced_prefix="é")


def test_end_token_is_not_selected_before_the_forced_prefix(tokenizer: Tokenizer) -> None:
    row = logits(tokenizer, "x", "y")
    row[0, 0] = 1000.0
    assert select_one(row, tokenizer)[1].finish_reason is FinishReason.END_OF_TEXT
    text, after = select_one(row, tokenizer, forced_prefix="x")
    assert (text, after.finish_reason) == ("x", None)


def test_logits_are_unchanged_without_a_forced_prefix(tokenizer: Tokenizer) -> None:
    row = Logits(logits(tokenizer, "x"))
    assert mask_forced_prefix(row, [Candidate(0, tokenizer.initial_state())], tokenizer) is row


def test_only_the_first_of_several_candidates_is_greedy() -> None:
    several = Request(parts=("x",), max_new_tokens=1, candidates=3, sampling=Sampling(0.7))
    assert [sampler is None for sampler in build_samplers(several)] == [True, False, False]
    assert build_samplers(Request(parts=("x",), max_new_tokens=1)) == [None]


def test_candidates_end_with_different_texts(tokenizer: Tokenizer) -> None:
    request = Request(parts=("x",), max_new_tokens=1, candidates=2, sampling=Sampling(1.0))
    criteria = StopCriteria(request, tokenizer, frozenset({0}))
    candidates = [Candidate(i, tokenizer.initial_state()) for i in range(2)]
    row = Logits(logits(tokenizer, "x", "y")).repeat(2)
    for seed in range(5):
        request = Request(parts=("x",), max_new_tokens=1, candidates=2, sampling=Sampling(1.0, 1.0, seed))
        _, after = select_tokens(row, candidates, candidates, build_samplers(request), criteria)
        assert after[0].text != after[1].text
