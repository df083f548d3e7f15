from __future__ import annotations

from pathlib import Path

import pytest
import torch

from starcoder_ls.engine.candidate import Candidate, Ending
from starcoder_ls.engine.draw import draw, opening_only, samplers_of
from starcoder_ls.engine.logits import Logits
from starcoder_ls.engine.tokens import Vocabulary
from starcoder_ls.generation import Finish, Request, Sampling


@pytest.fixture
def vocabulary(starcoder: Path) -> Vocabulary:
    return Vocabulary.of(starcoder)


def logits(vocabulary: Vocabulary, *likely: str) -> torch.Tensor:
    """One row in which the first tokens of ``likely`` come first, in that order."""
    row = torch.zeros(1, vocabulary.size)
    for rank, text in enumerate(reversed(likely), start=1):
        row[0, vocabulary.encode([text])[0]] = 10.0 * rank
    return row


def drawn(row: torch.Tensor, vocabulary: Vocabulary, opening: str = "", **changes: object) -> tuple[str, Candidate]:
    request = Request(parts=("x",), max_new_tokens=8, **changes)  # type: ignore[arg-type]
    ending = Ending(request, vocabulary, frozenset({0}))
    candidate = Candidate(0, vocabulary.start(), opening)
    allowed = opening_only(Logits(row), [candidate], vocabulary)
    (token,), (after,) = draw(allowed, [candidate], [candidate], samplers_of(request), ending)
    return vocabulary.decode([token.id]), after


def test_the_likeliest_token_is_taken(vocabulary: Vocabulary) -> None:
    assert drawn(logits(vocabulary, "x", "y"), vocabulary)[0] == "x"


def test_a_token_that_leaves_the_opening_is_never_taken(vocabulary: Vocabulary) -> None:
    text, after = drawn(logits(vocabulary, "x", "y"), vocabulary, opening="y1")
    assert text == "y"
    assert after.owed == "1"
    assert after.text == ""


def test_an_end_does_not_come_before_the_opening(vocabulary: Vocabulary) -> None:
    row = logits(vocabulary, "x", "y")
    row[0, 0] = 1000.0
    assert drawn(row, vocabulary)[1].finish is Finish.END_OF_TEXT
    text, after = drawn(row, vocabulary, opening="x")
    assert (text, after.finish) == ("x", None)


def test_where_nothing_is_owed_nothing_is_masked(vocabulary: Vocabulary) -> None:
    row = Logits(logits(vocabulary, "x"))
    assert opening_only(row, [Candidate(0, vocabulary.start())], vocabulary) is row


def test_only_the_first_of_several_is_greedy() -> None:
    several = Request(parts=("x",), max_new_tokens=1, candidates=3, sampling=Sampling(0.7))
    assert [sampler is None for sampler in samplers_of(several)] == [True, False, False]
    assert samplers_of(Request(parts=("x",), max_new_tokens=1)) == [None]


def test_a_candidate_does_not_end_as_a_copy_where_another_token_is_to_be_had(vocabulary: Vocabulary) -> None:
    request = Request(parts=("x",), max_new_tokens=1, candidates=2, sampling=Sampling(1.0))
    ending = Ending(request, vocabulary, frozenset({0}))
    candidates = [Candidate(i, vocabulary.start()) for i in range(2)]
    row = Logits(logits(vocabulary, "x", "y")).repeated(2)
    for seed in range(5):
        request = Request(parts=("x",), max_new_tokens=1, candidates=2, sampling=Sampling(1.0, 1.0, seed))
        _, after = draw(row, candidates, candidates, samplers_of(request), ending)
        assert after[0].text != after[1].text
