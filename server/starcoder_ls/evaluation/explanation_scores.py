"""Scores explanations against the first sentence of the author's own docstring.

There are two scores: BLEU-4 over all explanations (sacrebleu, smoothed), and the F1 of their words.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from starcoder_ls.errors import SettingsError
from starcoder_ls.evaluation import score

_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class ExplanationScores:
    """Both from 0 to 1."""

    bleu: float
    f1: score.Estimate


def score_explanations(explanations: Sequence[str], references: Sequence[str]) -> ExplanationScores:
    """The scores of ``explanations`` against the authors' sentences, in the same order.

    Raises SettingsError if sacrebleu is not installed.
    """
    try:
        import sacrebleu
    except ImportError as error:
        raise SettingsError("BLEU is computed by sacrebleu. Install it: `pip install sacrebleu`.") from error
    corpus = sacrebleu.corpus_bleu(list(explanations), [list(references)], lowercase=True)
    f1 = [word_f1(text, reference) for text, reference in zip(explanations, references, strict=True)]
    return ExplanationScores(corpus.score / 100, score.estimate_mean(f1))


def word_f1(text: str, reference: str) -> float:
    """The harmonic mean of precision and recall of the words, with their counts; 0 if they have no word in common."""
    words, reference_words = Counter(_WORD.findall(text.lower())), Counter(_WORD.findall(reference.lower()))
    shared = (words & reference_words).total()
    return 2 * shared / (words.total() + reference_words.total()) if shared else 0.0
