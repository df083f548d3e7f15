"""What the n-grams of a document add to a model's probabilities, for training on the loss of their mixture.

An adapter then learns what the n-grams do not know already. The formula is that of ``ngram_mixing``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from starcoder_ls.engine.generation.ngram_mixing import (
    DocumentNgrams,
    Level,
    NgramStrengths,
    Observation,
    evidence_key,
    observe,
)
from starcoder_ls.text_tokens.tokenizer import Tokenizer

MAX_MIDDLE_TOKENS = 64
"""Of a middle; the rest is learned as if there were no n-grams. Suggestions are short, and each token takes 0.5 ms."""


@dataclass(frozen=True, slots=True)
class Middle:
    """A middle in a row: where its tokens begin there, its tokens (with the end token, if it has one), and the texts
    around it."""

    start: int
    ids: tuple[int, ...]
    before: str
    after: str

    def levels(self, tokenizer: Tokenizer) -> Iterator[Iterator[Level]]:
        """The levels of the n-grams for each of the first tokens."""
        document = DocumentNgrams(self.before, [self.after], lambda text: tokenizer.encode([text]))
        for number in range(min(len(self.ids), MAX_MIDDLE_TOKENS)):
            yield document.levels(tokenizer.decode(self.ids[:number]))


def shares_of(middle: Middle, strengths: NgramStrengths, tokenizer: Tokenizer) -> list[tuple[float, float]]:
    """For each of the first tokens of ``middle``: the share of the model in the mixture, and the probability that the
    n-grams add. The probability of the mixture is the first times that of the model, plus the second."""
    shares = []
    for token_id, levels in zip(middle.ids, middle.levels(tokenizer), strict=False):
        model, ngrams = 1.0, 0.0
        for level in levels:
            strength = strengths.by_evidence.get(evidence_key(level), 0.0)
            model *= 1.0 - strength
            ngrams = (1.0 - strength) * ngrams + strength * level[1].get(token_id, 0) / sum(level[1].values())
        shares.append((model, ngrams))
    return shares


def observations_of(middle: Middle, logits: torch.Tensor, tokenizer: Tokenizer, tokens: int) -> Iterator[Observation]:
    """For fitting strengths: the first ``tokens`` of ``middle``.  # logits of the row [time, vocabulary]"""
    pairs: Sequence[int] = middle.ids[:tokens]
    for number, (token_id, levels) in enumerate(zip(pairs, middle.levels(tokenizer), strict=False)):
        yield observe(logits[middle.start + number - 1], levels, token_id)
