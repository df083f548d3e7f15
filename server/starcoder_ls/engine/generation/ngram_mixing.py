"""Mixes the model's distribution with n-grams of the document: what followed the same last characters there.

A nested cache n-gram (Hellendoorn and Devanbu 2017): the longer a match, the later it is mixed in. Each kind of match
has a strength that was fitted for the checkpoint.
"""

from __future__ import annotations

import json
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from starcoder_ls.engine.logits import Logits
from starcoder_ls.errors import ModelInvalid

STRENGTHS_FILE = "ngram_strengths.json"
"""Beside the weights of a checkpoint for which mixing was measured to improve it; without it nothing is mixed."""

MATCH_CHARS = (2, 3, 4, 6, 8, 11, 15, 20, 28, 40)
"""Lengths of the matches. Characters, not tokens: a cursor inside a word, or after a blank, ends in tokens that occur
nowhere else in the document (5.9 nats on the first token of a middle; 4.1 with these matches)."""

MAX_OCCURRENCES = 64
MAX_COUNT = 4
MAX_CONTINUATION_CHARS = 32
SEPARATOR = "\x00"
MIN_OTHER_FILE_CHARS = 7
"""Matches in other files have at least this length: short ones show how people write, which the model knows better."""


Level = tuple[int, dict[int, int]]
"""(how many last characters match, which tokens continued there and how often)."""

Encode = Callable[[str], Sequence[int]]


def evidence_key(level: Level) -> str:
    """What the strength of a level depends on: match length, count (up to ``MAX_COUNT``), one or many followers."""
    length, followers = level
    count = min(sum(followers.values()), MAX_COUNT)
    return f"{length}/{count}/{'one' if len(followers) == 1 else 'many'}"


class _SearchedText:
    """Text in which occurrences of given last characters are searched; 0.1 ms a search in a window's text."""

    def __init__(self, text: str, encode: Encode) -> None:
        self._text = text
        self._encode = encode
        self._token_ids: dict[int, int | None] = {}

    def matches(self, tail: str, lengths: Sequence[int]) -> Iterator[Level]:
        """The levels of ever longer matches of the end of ``tail``, until one does not occur."""
        found: list[tuple[int, int]] = []  # ends of occurrences, and the tokens that follow
        is_capped = True
        for length in lengths:
            if len(tail) < length:
                return
            suffix = tail[-length:]
            if is_capped:
                ends = self._ends_of(suffix)
                is_capped = len(ends) == MAX_OCCURRENCES
                found = [(end, token_id) for end in ends if (token_id := self._token_id_at(end)) is not None]
            else:
                ends_with = self._text.endswith
                found = [pair for pair in found if ends_with(suffix, 0, pair[0])]
            if not found:
                return
            followers: dict[int, int] = {}
            for _, token_id in found:
                followers[token_id] = followers.get(token_id, 0) + 1
            yield length, followers

    def _ends_of(self, suffix: str) -> list[int]:
        """Where the last ``MAX_OCCURRENCES`` occurrences of ``suffix`` end."""
        ends: list[int] = []
        end = len(self._text) - 1  # the end of the text before the cursor has no continuation
        while len(ends) < MAX_OCCURRENCES and (start := self._text.rfind(suffix, 0, end)) >= 0:
            ends.append(start + len(suffix))
            end = start + len(suffix) - 1
        return ends

    def _token_id_at(self, offset: int) -> int | None:
        """The first token of the text at ``offset``, tokenized as after a cursor there; None at the end of a text."""
        if offset not in self._token_ids:
            continuation = self._text[offset : offset + MAX_CONTINUATION_CHARS].partition(SEPARATOR)[0]
            self._token_ids[offset] = self._encode(continuation)[0] if continuation else None
        return self._token_ids[offset]


class DocumentNgrams:
    """The texts that are searched: those around the cursor, and ``other_files``.

    Generated text is matched but not searched: a model that repeats itself must not be reinforced. Other files are
    searched only for matches longer than any in the document: mixed on equal terms they would outweigh it.
    """

    def __init__(self, before: str, others: Sequence[str], encode: Encode, other_files: Sequence[str] = ()) -> None:
        self._before = before
        # The text before the cursor comes last: of too many occurrences the last are used.
        self._document = _SearchedText(SEPARATOR.join((*others, before)), encode)
        self._other_files = _SearchedText(SEPARATOR.join((*other_files, "")), encode) if other_files else None

    def levels(self, generated: str = "") -> Iterator[Level]:
        """The levels of ever longer matches of the text before the cursor and ``generated``."""
        tail = self._before[-MATCH_CHARS[-1] :] + generated
        longest = 0
        for level in self._document.matches(tail, MATCH_CHARS):
            longest = level[0]
            yield level
        if self._other_files is not None:
            lengths = [length for length in MATCH_CHARS if length > longest and length >= MIN_OTHER_FILE_CHARS]
            yield from self._other_files.matches(tail, lengths)


@dataclass(frozen=True, slots=True)
class NgramStrengths:
    """The share of a level in the mixture, by its ``evidence_key``; 0 where none was fitted."""

    by_evidence: dict[str, float]

    @classmethod
    def from_folder(cls, folder: Path) -> NgramStrengths | None:
        """The strengths of a checkpoint; None if it has none. Raises ModelInvalid if its file is damaged."""
        file = folder / STRENGTHS_FILE
        if not file.is_file():
            return None
        try:
            read = {str(key): float(value) for key, value in json.loads(file.read_text(encoding="utf-8")).items()}
        except (ValueError, AttributeError, TypeError) as error:
            raise ModelInvalid(
                f"{file} is not a table of strengths: {error}. Remove it or download it again."
            ) from error
        if not all(0.0 <= value < 1.0 for value in read.values()):
            raise ModelInvalid(f"{file} has strengths outside of 0 to 1. Remove it or download it again.")
        return cls(read)

    def save(self, folder: Path) -> None:
        rounded = {key: round(value, 3) for key, value in sorted(self.by_evidence.items())}
        (folder / STRENGTHS_FILE).write_text(json.dumps(rounded, indent=1) + "\n", encoding="utf-8")

    def mix(self, logits: torch.Tensor, levels: Iterable[Level]) -> torch.Tensor:
        """Logits of the mixture, a constant apart from its log-probabilities.  # [vocabulary] -> [vocabulary]"""
        model_share, shares = 1.0, dict[int, float]()  # one pass over the vocabulary, however many levels
        for level in levels:
            strength = self.by_evidence.get(evidence_key(level), 0.0)
            if strength == 0.0:
                continue
            followers = level[1]
            total = sum(followers.values())
            model_share *= 1.0 - strength
            shares = {id_: share * (1.0 - strength) for id_, share in shares.items()}
            for id_, count in followers.items():
                shares[id_] = shares.get(id_, 0.0) + count * strength / total
        if not shares:
            return logits
        # p = model_share * exp(logit - log_total) + share: divided by model_share / exp(log_total), only the logits of
        # tokens with a share change. numpy: eight operations on a few numbers take torch 0.1 ms, a third of a step of
        # a small model.
        values = logits.numpy(force=True).copy()
        ids, added = np.array(list(shares)), np.array(list(shares.values()))
        largest = float(values.max())
        log_total = largest + math.log(float(np.exp(values - largest).sum()))
        values[ids] = np.logaddexp(values[ids], np.log(added) + (log_total - math.log(model_share)))
        return torch.from_numpy(values).to(logits.device)


@dataclass(frozen=True, slots=True)
class NgramMixer:
    """Mixes the n-grams of one request's document into the distributions of its candidates."""

    strengths: NgramStrengths
    document: DocumentNgrams

    def mix(self, logits: Logits, generated: Sequence[str | None]) -> Logits:
        """Row ``i`` continues ``generated[i]``; None leaves a row as it is.  # [rows, vocabulary] -> the same shape"""
        with torch.inference_mode():
            rows = [
                row if text is None else self.strengths.mix(row, self.document.levels(text))
                for row, text in zip(logits.on_cpu(), generated, strict=True)
            ]
            return Logits(rows[0][None] if len(rows) == 1 else torch.stack(rows))


@dataclass(frozen=True, slots=True)
class Observation:
    """One true token: its probability by the model, and at each level (by evidence key) its share of the followers."""

    model: float
    levels: tuple[tuple[str, float], ...]


def observe(logits: torch.Tensor, levels: Iterable[Level], token_id: int) -> Observation:
    """For ``fit_to_observations``: ``token_id`` followed where ``levels`` matched.  # logits [vocabulary]"""
    shares = ((evidence_key(level), level[1].get(token_id, 0) / sum(level[1].values())) for level in levels)
    return Observation(float(logits.float().softmax(-1)[token_id]), tuple(shares))


def fit_to_observations(observations: Sequence[Observation], iterations: int = 25) -> NgramStrengths:
    """The strengths with the greatest likelihood of the observations.

    Expectation maximization; each strength has a prior of half an observation for it and one and a half against it.
    """
    strengths: defaultdict[str, float] = defaultdict(lambda: 0.3)
    for _ in range(iterations):
        chosen: Counter[str] = Counter()
        reached: Counter[str] = Counter()
        for observation in observations:
            probabilities = [observation.model]  # of the true token, below each level
            for key, share in observation.levels:
                probabilities.append(strengths[key] * share + (1 - strengths[key]) * probabilities[-1])
            weight = 1.0
            for number in range(len(observation.levels) - 1, -1, -1):
                key, share = observation.levels[number]
                responsibility = strengths[key] * share / max(probabilities[number + 1], 1e-12)
                chosen[key] += weight * responsibility  # type: ignore[assignment]  # Counter of floats
                reached[key] += weight  # type: ignore[assignment]
                weight *= 1 - responsibility
        for key in reached:
            strengths[key] = (chosen[key] + 0.5) / (reached[key] + 2)
    return NgramStrengths(dict(strengths))
