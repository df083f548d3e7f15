from __future__ import annotations

from pathlib import Path

import pytest
import torch

import starcoder_ls
from starcoder_ls.engine.generation.ngram_mixing import NgramStrengths
from starcoder_ls.learning.finetuning.ngram_shares import MAX_MIDDLE_TOKENS, Middle, observations_of, shares_of
from starcoder_ls.text_tokens.tokenizer import Tokenizer

BUNDLED = Path(starcoder_ls.__file__).parent / "bundled"
BEFORE = "total = price * amount\nrest = price * discount\nother = pri"


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.from_folder(BUNDLED)


@pytest.fixture(scope="module")
def strengths() -> NgramStrengths:
    found = NgramStrengths.from_folder(BUNDLED)
    assert found is not None
    return found


def test_shares_give_the_probabilities_of_the_engines_mixture(tokenizer: Tokenizer, strengths: NgramStrengths) -> None:
    ids = tuple(tokenizer.encode(["ce * amount\n"]))
    middle = Middle(3, ids, BEFORE, "print(price * amount)\n")
    logits = torch.randn(3 + len(ids), 8192, generator=torch.Generator().manual_seed(1)).double()
    shares = shares_of(middle, strengths, tokenizer)
    expected = []
    for number, levels in enumerate(middle.levels(tokenizer)):
        mixed = strengths.mix(logits[2 + number], levels).softmax(-1)
        expected.append(float(mixed[ids[number]]))
    plain = [float(logits[2 + number].softmax(-1)[id_]) for number, id_ in enumerate(ids)]
    ours = [model * p + ngrams for (model, ngrams), p in zip(shares, plain, strict=True)]
    assert ours == pytest.approx(expected, rel=1e-6)
    assert max(ngrams for _, ngrams in shares) > 0.3


def test_observations_are_of_the_positions_before_the_tokens(tokenizer: Tokenizer) -> None:
    middle = Middle(2, (40, 41, 42), BEFORE, "\n")
    logits = torch.full((5, 8192), -50.0)
    logits[1, 40] = logits[2, 41] = 50.0
    observed = list(observations_of(middle, logits, tokenizer, 2))
    assert [observation.model for observation in observed] == pytest.approx([1.0, 1.0])


def test_end_of_a_long_middle_has_no_shares(tokenizer: Tokenizer, strengths: NgramStrengths) -> None:
    middle = Middle(0, (40,) * (MAX_MIDDLE_TOKENS + 5), BEFORE, "")
    assert len(shares_of(middle, strengths, tokenizer)) == MAX_MIDDLE_TOKENS
