"""How close an explanation comes to the author's own first sentence.

Decides the two scores: BLEU-4 over all (sacrebleu, smoothed), and the F1 of words one by one. Refuses to know who
explained.
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
class Scores:
    """Both 0..1."""

    bleu: float
    f1: score.Mean


def scores(said: Sequence[str], truth: Sequence[str]) -> Scores:
    """Of explanations against what their authors wrote, in the same order. Raises SettingsError without sacrebleu."""
    try:
        import sacrebleu
    except ImportError as error:
        raise SettingsError("BLEU is counted by sacrebleu. Install it: `pip install sacrebleu`.") from error
    corpus = sacrebleu.corpus_bleu(list(said), [list(truth)], lowercase=True)
    return Scores(corpus.score / 100, score.mean([word_f1(one, other) for one, other in zip(said, truth, strict=True)]))


def word_f1(said: str, truth: str) -> float:
    """Harmonic mean of the shares of words said and of words due; 0 where they share none."""
    one, other = Counter(_WORD.findall(said.lower())), Counter(_WORD.findall(truth.lower()))
    shared = (one & other).total()
    return 2 * shared / (one.total() + other.total()) if shared else 0.0
