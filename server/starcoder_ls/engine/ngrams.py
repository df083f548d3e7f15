"""Repetition as a second opinion: what followed in this very document after the same last tokens.

A nested cache n-gram (Hellendoorn and Devanbu 2017): the model's distribution is mixed with that of ever longer
matches, each with a strength fitted for this checkpoint. Refuses to know who samples from the result.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from starcoder_ls.errors import ModelInvalid

FILE = "ngram_strengths.json"
"""Beside the weights of a checkpoint for which mixing was measured to pay; without it nothing is mixed."""

MAX_MATCH = 8
_COUNT_CAP = 4

Level = tuple[int, dict[int, int]]
"""(how many last tokens match, what followed there and how often)."""


def evidence(level: Level) -> str:
    """What the strength of a level depends on: match length, how often seen (up to 4), whether always the same."""
    length, followers = level
    seen = min(sum(followers.values()), _COUNT_CAP)
    return f"{length}/{seen}/{'one' if len(followers) == 1 else 'many'}"


class Index:
    """A document's tokens, where each stands, and what was generated after them.

    What is generated is matched but never counted as evidence: a model that repeats itself must not be encouraged.
    Building 1,000 tokens takes 0.1 ms, a look-up about as much.
    """

    def __init__(self, document: Sequence[int] = ()) -> None:
        self._ids = list(document)
        self._known = len(self._ids)
        self._places: defaultdict[int, list[int]] = defaultdict(list)
        for place, id_ in enumerate(self._ids[:-1]):  # the last has no follower that was there before
            self._places[id_].append(place)

    def extend(self, ids: Sequence[int]) -> None:
        """These were generated."""
        self._ids.extend(ids)

    def forked(self) -> Index:
        """A copy that grows on its own."""
        copy = Index()
        copy._ids, copy._known, copy._places = self._ids.copy(), self._known, self._places
        return copy

    def levels(self) -> Iterator[Level]:
        """Followers of the last token, of the last two, … as long as anything matches."""
        ids = self._ids
        last = len(ids) - 1
        places = self._places.get(ids[-1], []) if ids else []
        for length in range(1, MAX_MATCH + 1):
            if not places:
                return
            yield length, Counter(ids[place + 1] for place in places)
            if length > last:
                return
            wanted = ids[last - length]
            places = [place for place in places if place >= length and ids[place - length] == wanted]


@dataclass(frozen=True, slots=True)
class Strengths:
    """The share of the mixture given to a level, by its evidence; 0 where it was never fitted."""

    by_evidence: dict[str, float]

    @classmethod
    def of(cls, folder: Path) -> Strengths | None:
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

    def mixed(self, logits: torch.Tensor, index: Index) -> torch.Tensor:
        """Log-probabilities of the mixture.  # logits [vocabulary] -> [vocabulary]"""
        probabilities = logits.float().softmax(-1)
        for level in index.levels():
            share = self.by_evidence.get(evidence(level), 0.0)
            if share == 0.0:
                continue
            followers = level[1]
            total = sum(followers.values())
            ids = torch.tensor(list(followers), device=logits.device)
            counts = torch.tensor(list(followers.values()), dtype=torch.float32, device=logits.device)
            probabilities *= 1.0 - share
            probabilities[ids] += counts * (share / total)
        return probabilities.clamp_min_(torch.finfo(torch.float32).tiny).log_()


class SecondOpinion:
    """One index per candidate of a request, and what they add to its distribution; nothing without strengths."""

    def __init__(self, strengths: Strengths | None, prompt: Sequence[int], candidates: int) -> None:
        self._strengths = strengths
        first = Index(prompt if strengths else ())
        self._indexes = [first, *(first.forked() for _ in range(candidates - 1))]

    def mixed(self, logits: torch.Tensor, candidates: Sequence[int]) -> torch.Tensor:
        """Row ``i`` belongs to candidate ``candidates[i]``.  # [rows, vocabulary] -> the same"""
        if self._strengths is None:
            return logits
        rows = zip(logits, candidates, strict=True)
        return torch.stack([self._strengths.mixed(row, self._indexes[candidate]) for row, candidate in rows])

    def extend(self, candidates: Sequence[int], ids: Sequence[int]) -> None:
        """Candidate ``candidates[i]`` grew by ``ids[i]``."""
        if self._strengths is not None:
            for candidate, id_ in zip(candidates, ids, strict=True):
                self._indexes[candidate].extend([id_])


@dataclass(frozen=True, slots=True)
class Observation:
    """One token to predict: what the model gave it, and at each level its share of the followers."""

    model: float
    levels: tuple[tuple[str, float], ...]


def observed(logits: torch.Tensor, index: Index, truth: int) -> Observation:
    """For ``fitted``: the token ``truth`` came after the tokens of ``index``.  # logits [vocabulary]"""
    levels = ((evidence(level), level[1].get(truth, 0) / sum(level[1].values())) for level in index.levels())
    return Observation(float(logits.float().softmax(-1)[truth]), tuple(levels))


def fitted(observations: Sequence[Observation], rounds: int = 25) -> Strengths:
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
    return Strengths(dict(shares))
