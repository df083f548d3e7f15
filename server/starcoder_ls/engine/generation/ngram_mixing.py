"""Repetition as a second opinion: what followed in this very document after the same last characters.

A nested cache n-gram (Hellendoorn and Devanbu 2017): the model's distribution is mixed with that of ever longer
matches, each with a strength fitted for this checkpoint. Refuses to know who samples from the result.
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

from starcoder_ls.errors import ModelInvalid

FILE = "ngram_strengths.json"
"""Beside the weights of a checkpoint for which mixing was measured to pay; without it nothing is mixed."""

MATCH_CHARS = (2, 3, 4, 6, 8, 11, 15, 20, 28, 40)
"""Lengths of the matches that are asked for. Characters, not tokens: a cursor inside a word, or after a blank, leaves
tokens that stand nowhere else in the document (5.9 nats on the first token of a middle; 4.1 with these matches)."""

_MAX_PLACES = 64
_COUNT_CAP = 4
_CONTINUATION_CHARS = 32
_GAP = "\x00"
_NEAR_CHARS = 6
"""Matches in other files must be longer than this: short ones say how people write, which the model knows better."""


Level = tuple[int, dict[int, int]]
"""(how many last characters match, which tokens continued there and how often)."""

Encode = Callable[[str], Sequence[int]]


def lookup_text(level: Level) -> str:
    """What the strength of a level depends on: match length, how often seen (up to 4), whether always the same."""
    length, followers = level
    seen = min(sum(followers.values()), _COUNT_CAP)
    return f"{length}/{seen}/{'one' if len(followers) == 1 else 'many'}"


class _Text:
    """Text to be searched for what comes after given last characters; 0.1 ms a search in a window's text."""

    def __init__(self, text: str, encode: Encode) -> None:
        self._text = text
        self._encode = encode
        self._tokens: dict[int, int | None] = {}

    def matches(self, tail: str, lengths: Sequence[int]) -> Iterator[Level]:
        """What continues ever longer matches of the end of ``tail``, while any match."""
        found: list[tuple[int, int]] = []  # places, and the tokens there
        is_capped = True
        for length in lengths:
            if len(tail) < length:
                return
            wanted = tail[-length:]
            if is_capped:
                places = self._places(wanted)
                is_capped = len(places) == _MAX_PLACES
                found = [(place, token) for place in places if (token := self._token(place)) is not None]
            else:
                ends_with = self._text.endswith
                found = [pair for pair in found if ends_with(wanted, 0, pair[0])]
            if not found:
                return
            followers: dict[int, int] = {}
            for _, token in found:
                followers[token] = followers.get(token, 0) + 1
            yield length, followers

    def _places(self, wanted: str) -> list[int]:
        """Where the last ``_MAX_PLACES`` occurrences of ``wanted`` end."""
        places: list[int] = []
        end = len(self._text) - 1  # the end of the text before the cursor has no continuation
        while len(places) < _MAX_PLACES and (start := self._text.rfind(wanted, 0, end)) >= 0:
            places.append(start + len(wanted))
            end = start + len(wanted) - 1
        return places

    def _token(self, place: int) -> int | None:
        """The first token of what stands at ``place``, as the model would say it after a cursor there."""
        if place not in self._tokens:
            continuation = self._text[place : place + _CONTINUATION_CHARS].partition(_GAP)[0]
            self._tokens[place] = self._encode(continuation)[0] if continuation else None
        return self._tokens[place]


class DocumentNgrams:
    """The text around a cursor, and text of other files, to look for the same last characters in.

    What is generated is matched but is no evidence: a model that repeats itself must not be encouraged. Other files are
    asked only about matches longer than any in the document: mixed on an equal footing they drown it.
    """

    def __init__(self, before: str, others: Sequence[str], encode: Encode, elsewhere: Sequence[str] = ()) -> None:
        self._before = before
        self._near = _Text(_GAP.join((*others, before)), encode)  # nearest last: of too many places the last are taken
        self._far = _Text(_GAP.join((*elsewhere, "")), encode) if elsewhere else None

    def levels(self, generated: str = "") -> Iterator[Level]:
        """What continues ever longer matches of the text before the cursor and ``generated``, while any match."""
        tail = self._before[-MATCH_CHARS[-1] :] + generated
        longest = 0
        for level in self._near.matches(tail, MATCH_CHARS):
            longest = level[0]
            yield level
        if self._far is not None:
            yield from self._far.matches(tail, [length for length in MATCH_CHARS if length > max(longest, _NEAR_CHARS)])


@dataclass(frozen=True, slots=True)
class NgramStrengths:
    """The share of the mixture given to a level, by its evidence; 0 where it was never fitted."""

    by_evidence: dict[str, float]

    @classmethod
    def of(cls, folder: Path) -> NgramStrengths | None:
        """A checkpoint's own, or None if it has none. Raises ModelInvalid."""
        file = folder / FILE
        if not file.is_file():
            return None
        try:
            read = {str(key): float(value) for key, value in json.loads(file.read_text(encoding="utf-8")).items()}
        except (ValueError, AttributeError, TypeError) as error:
            raise ModelInvalid(
                f"{file} is not a table of strengths: {error}. Remove it or download it again."
            ) from error
        if not all(0.0 <= value < 1.0 for value in read.values()):
            raise ModelInvalid(f"{file} holds strengths outside of 0 to 1. Remove it or download it again.")
        return cls(read)

    def save(self, folder: Path) -> None:
        rounded = {key: round(value, 3) for key, value in sorted(self.by_evidence.items())}
        (folder / FILE).write_text(json.dumps(rounded, indent=1) + "\n", encoding="utf-8")

    def mix(self, logits: torch.Tensor, levels: Iterable[Level]) -> torch.Tensor:
        """Logits of the mixture: a constant apart from its log-probabilities.  # [vocabulary] -> [vocabulary]"""
        kept, added = 1.0, dict[int, float]()  # one pass over the vocabulary, however many levels
        for level in levels:
            share = self.by_evidence.get(lookup_text(level), 0.0)
            if share == 0.0:
                continue
            followers = level[1]
            total = sum(followers.values())
            kept *= 1.0 - share
            added = {id_: weight * (1.0 - share) for id_, weight in added.items()}
            for id_, count in followers.items():
                added[id_] = added.get(id_, 0.0) + count * share / total
        if not added:
            return logits
        # p = kept * exp(logit - total) + share: divided by kept / exp(total), only what gets a share changes. numpy:
        # eight operations on a few numbers take torch 0.1 ms, a third of a step of a small model.
        values = logits.numpy(force=True).copy()
        ids, shares = np.array(list(added)), np.array(list(added.values()))
        most = float(values.max())
        scale = most + math.log(float(np.exp(values - most).sum()))
        values[ids] = np.logaddexp(values[ids], np.log(shares) + (scale - math.log(kept)))
        return torch.from_numpy(values).to(logits.device)


@dataclass(frozen=True, slots=True)
class NgramMixer:
    """What a document adds to the distributions of a request's candidates."""

    strengths: NgramStrengths
    document: DocumentNgrams

    def mix(self, logits: torch.Tensor, generated: Sequence[str | None]) -> torch.Tensor:
        """Row ``i`` continues ``generated[i]``; None leaves a row as it is.  # [rows, vocabulary] -> the same"""
        with torch.inference_mode():
            rows = [
                row if text is None else self.strengths.mix(row, self.document.levels(text))
                for row, text in zip(logits, generated, strict=True)
            ]
            return rows[0][None] if len(rows) == 1 else torch.stack(rows)


@dataclass(frozen=True, slots=True)
class Observation:
    """One token to predict: what the model gave it, and at each level its share of the followers."""

    model: float
    levels: tuple[tuple[str, float], ...]


def observed(logits: torch.Tensor, levels: Iterable[Level], truth: int) -> Observation:
    """For ``fitted``: the token ``truth`` came where ``levels`` were found.  # logits [vocabulary]"""
    shares = ((lookup_text(level), level[1].get(truth, 0) / sum(level[1].values())) for level in levels)
    return Observation(float(logits.float().softmax(-1)[truth]), tuple(shares))


def fitted(observations: Sequence[Observation], rounds: int = 25) -> NgramStrengths:
    """The strengths that make the observations likeliest (expectation-maximization, with half a vote each way)."""
    shares: defaultdict[str, float] = defaultdict(lambda: 0.3)
    for _ in range(rounds):
        chosen: Counter[str] = Counter()
        reached: Counter[str] = Counter()
        for seen in observations:
            below = [seen.model]
            for key, share_of_truth in seen.levels:
                below.append(shares[key] * share_of_truth + (1 - shares[key]) * below[-1])
            weight = 1.0
            for number in range(len(seen.levels) - 1, -1, -1):
                key, share_of_truth = seen.levels[number]
                here = shares[key] * share_of_truth / max(below[number + 1], 1e-12)
                chosen[key] += weight * here  # type: ignore[assignment]  # Counter of floats
                reached[key] += weight  # type: ignore[assignment]
                weight *= 1 - here
        for key in reached:
            shares[key] = (chosen[key] + 0.5) / (reached[key] + 2)
    return NgramStrengths(dict(shares))
