"""Guesses at the next tokens, from what stood after the same last tokens before, and how many of them to try.

Decides where a draft comes from and how long it is. Refuses to know the model: a guess can cost time, never change an
answer.
"""

from __future__ import annotations

import sys
from array import array
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

MATCH_TOKENS = (4, 3, 2)
"""The last tokens that a place must share; the longest match is taken, of equal ones the latest."""

LONGEST = 7
"""Eight rows in one step cost 1.5 to 2.2 times one row on a CPU, and few drafts are right for longer."""

KEPT_ANSWERS = 8

# One character per token: the search for the last occurrence then is str.rfind, which needs no index to be built; over
# 1,200 tokens 3 us, where filling dictionaries of n-grams took as long as half a step of the bundled model.
_GAP = "\U0010ffff"
_UTF_32 = "utf-32-le" if sys.byteorder == "little" else "utf-32-be"
_MEMORY = 0.97  # of a rate's weight is left after the next observation: about 30 observations count


@dataclass(slots=True)
class _Rate:
    """How often something came true lately. Begins as three tries, of which ``hits`` / ``tries`` came true."""

    hits: float
    tries: float = 3.0

    def seen(self, came_true: bool) -> None:
        self.hits = self.hits * _MEMORY + came_true
        self.tries = self.tries * _MEMORY + 1

    @property
    def share(self) -> float:
        return self.hits / self.tries


@dataclass(slots=True)
class Record:
    """What became of drafts so far, by the length of the match: of their first token, and of those after a right one.

    Drafts that were not tried are seen too, since the tokens that came instead say what would have become of them.
    """

    first: dict[int, _Rate] = field(default_factory=lambda: {n: _Rate(0.3 * n) for n in MATCH_TOKENS})
    later: dict[int, _Rate] = field(default_factory=lambda: {n: _Rate(2.0) for n in MATCH_TOKENS})
    sequences: int = 1
    """How many share a pass now. Each bears its part of what a pass costs however little it reads, so that one more
    token is dearer beside that than it is alone."""

    def best_length(self, match: int, longest: int, costs: Sequence[float]) -> int:
        """The length whose tokens per time are the most expected; 0 where no draft pays.

        ``costs[n]`` is the time of one step over ``n`` + 1 tokens.
        """
        per_token = (costs[-1] - costs[0]) / max(len(costs) - 1, 1)
        spared = max(costs[0] - per_token, 0.0) * (1 - 1 / self.sequences)
        best, best_speed = 0, 1 / (costs[0] - spared)
        expected, still_right = 1.0, self.first[match].share
        for length in range(1, min(longest, len(costs) - 1) + 1):
            expected += still_right
            still_right *= self.later[match].share
            speed = expected / (costs[length] - spared)
            if speed > best_speed:
                best, best_speed = length, speed
        return best


class DraftHistory:
    """The latest answers, each behind the tokens that it continued."""

    def __init__(self) -> None:
        self._kept: deque[str] = deque(maxlen=KEPT_ANSWERS)

    def add(self, prompt: Sequence[int], answer: Sequence[int]) -> None:
        if answer:
            self._kept.append(_text([*prompt[-MATCH_TOKENS[0] :], *answer]))

    def text(self) -> str:
        return _GAP.join(self._kept)


class PromptLookup:
    """The guesses of one request."""

    def __init__(self, prompt: Sequence[int], answers: DraftHistory, record: Record) -> None:
        self._written = _text(prompt)
        self._answers = answers.text()
        self._record = record
        self._guess = ""  # the newest one whole, and how far it has come true
        self._match = 0
        self._right = 0

    def saw(self, id_: int) -> None:
        """``id_`` is the next token."""
        token = chr(id_)
        self._written += token
        if self._right < len(self._guess):
            came_true = self._guess[self._right] == token
            rates = self._record.later if self._right else self._record.first
            rates[self._match].seen(came_true)
            self._right = self._right + 1 if came_true else len(self._guess)

    def proposed(
        self, longest: int, costs: Sequence[float], is_possible: Callable[[int], bool] = lambda _: True
    ) -> list[int]:
        """What may follow, at most ``longest`` tokens; empty where trying would not pay.

        ``is_possible`` is asked of the first.
        """
        self._guess, self._match, self._right = "", 0, 0
        for match in MATCH_TOKENS:
            if len(self._written) < match or not (guess := self._found(self._written[-match:])):
                continue
            if is_possible(ord(guess[0])):
                self._guess, self._match = guess, match
                length = self._record.best_length(match, min(longest, len(guess)), costs)
                return [ord(token) for token in guess[:length]]
        return []

    def _found(self, wanted: str) -> str:
        """What stands behind the last ``wanted``: in the latest answers, else in what is written."""
        for text, end in ((self._answers, len(self._answers)), (self._written, len(self._written) - 1)):
            place = text.rfind(wanted, 0, end)
            if place >= 0:
                start = place + len(wanted)
                if guess := text[start : start + LONGEST].partition(_GAP)[0]:
                    return guess
        return ""


def _text(ids: Sequence[int]) -> str:
    """``"".join(map(chr, ids))``, five times as fast: 0.01 ms for a prompt of 1,000."""
    return array("I", ids).tobytes().decode(_UTF_32, "surrogatepass")
