"""What must not get worse with an adapter, whatever it gains: kinds of holes, other code, time, secrets, copies."""

from __future__ import annotations

import itertools
import math
import re
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from starcoder_ls.context.secrets import contains_secret
from starcoder_ls.evaluation.comparison import Pair
from starcoder_ls.evaluation.results import ScoredHole
from starcoder_ls.evaluation.sequential_test import clustered_difference, sign_test_p

KIND_LEVEL = 0.05
"""Of all kinds together that one is worse."""
MAX_FOREIGN_LOSS = 0.02
MAX_LATENCY_RATIO = 1.3
COPIED_CHARS = 120
"""A shorter passage is an idiom: about three lines."""
MAX_COPIED_SHARE = 0.01
_COPY_STEP_CHARS = 20


@dataclass(frozen=True, slots=True)
class Guard:
    """The result of a check; ``sentence`` says what was found."""

    name: str
    is_passed: bool
    sentence: str


class Timed(Protocol):
    """What took a time to answer."""

    @property
    def elapsed_ms(self) -> float: ...


def check_kinds(pairs: Sequence[Pair]) -> Guard:
    """No kind of hole may get significantly worse (sign test, Bonferroni over the kinds)."""
    kinds = sorted({first.kind for first, _ in pairs})
    worse_kinds = []
    for kind in kinds:
        own = [(first.is_first_line_match, second.is_first_line_match) for first, second in pairs if first.kind == kind]
        gained, lost = sum(second > first for first, second in own), sum(first > second for first, second in own)
        if sign_test_p(lost, gained) < KIND_LEVEL / len(kinds):
            worse_kinds.append(f"{kind} ({gained} became right, {lost} wrong)")
    found = f"worse: {', '.join(worse_kinds)}" if worse_kinds else "no kind of hole is significantly worse"
    return Guard("kinds of holes", not worse_kinds, found)


def check_foreign(pairs: Sequence[Pair]) -> Guard:
    """Code of others may lose at most two points of right first lines."""
    difference = clustered_difference(pairs).value
    found = f"{100 * difference:+.1f} points in {len(pairs)} holes of other code"
    is_small = difference > -MAX_FOREIGN_LOSS or math.isclose(difference, -MAX_FOREIGN_LOSS)
    return Guard("other code", is_small, found)


def check_latency(pairs: Sequence[tuple[Timed, Timed]]) -> Guard:
    """The median ratio of the times at the same hole may be at most 1.3.

    Holes count two by two, with the geometric mean of their ratios: each side was the first one at one of the two
    (``paired_filling``), so that it cancels out if the second answer at a hole is faster.
    """
    ratios = [second.elapsed_ms / first.elapsed_ms for first, second in pairs if first.elapsed_ms and second.elapsed_ms]
    means = [math.sqrt(earlier * later) for earlier, later in itertools.pairwise(ratios)][::2]
    if not means:
        return Guard("time", True, "no time was measured")
    ratio = statistics.median(means)
    return Guard("time", ratio <= MAX_LATENCY_RATIO, f"{ratio:.2f} times as long as without the adapter")


def check_secrets(pairs: Sequence[Pair]) -> Guard:
    """Answers may not contain secrets, except those that the base answers with too."""
    before, after = (sum(_has_secret(pair[side]) for pair in pairs) for side in (0, 1))
    return Guard("secrets", after <= before, f"{after} answers look like secrets, {before} without the adapter")


def check_copies(pairs: Sequence[Pair], training_texts: Iterable[str]) -> Guard:
    """At most one answer in a hundred more than of the base may copy 120 characters of a training file."""
    texts = [(_answer_and_truth(first), _answer_and_truth(second)) for first, second in pairs]
    return check_copied_texts(texts, training_texts)


def check_copied_texts(
    pairs: Sequence[tuple[tuple[str, str], tuple[str, str]]], training_texts: Iterable[str]
) -> Guard:
    """The same for answers with what is right, of both sides."""
    texts = "\0".join(map(_normalize, training_texts))
    before, after = (sum(_is_copy(*pair[side], texts) for pair in pairs) for side in (0, 1))
    is_passed = after - before <= MAX_COPIED_SHARE * len(pairs)
    found = f"{after} answers repeat {COPIED_CHARS} characters of a training file, {before} without the adapter"
    return Guard("copied text", is_passed, found)


def _has_secret(hole: ScoredHole) -> bool:
    """Results have masked secrets, and a mask counts as one unless the original has it too."""
    return hole.texts is not None and contains_secret(hole.texts.suggestion) and not contains_secret(hole.texts.truth)


def _answer_and_truth(hole: ScoredHole) -> tuple[str, str]:
    return ("", "") if hole.texts is None else (hole.texts.suggestion, hole.texts.truth)


def _is_copy(answer: str, right: str, training_texts: str) -> bool:
    text, truth = _normalize(answer), _normalize(right)
    for start in range(0, len(text) - COPIED_CHARS + 1, _COPY_STEP_CHARS):
        passage = text[start : start + COPIED_CHARS]
        if passage in training_texts and passage not in truth:
            return True
    return False


def _normalize(text: str) -> str:
    return re.sub(r"\s+", " ", text)
