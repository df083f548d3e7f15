"""Prompt-lookup decoding: draft tokens are copied from where the same last tokens occurred before.

A draft is taken from the latest answers, else from the prompt and what has been generated. Its length is the one with
the most expected tokens per time. A wrong draft costs time and never changes an answer.
"""

from __future__ import annotations

import sys
from array import array
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

MATCH_TOKENS = (4, 3, 2)
"""Numbers of last tokens that must match. The longest match is taken; of equally long ones, the latest."""

MAX_DRAFT_TOKENS = 7
"""Eight rows in one step cost 1.5 to 2.2 times one row on a CPU, and few drafts are right for longer."""

MAX_RETAINED_ANSWERS = 8

# One character per token: the search for the last occurrence then is str.rfind, which needs no index to be built; over
# 1,200 tokens 3 us, where filling dictionaries of n-grams took as long as half a step of the bundled model.
_SEPARATOR = "\U0010ffff"
_UTF_32 = "utf-32-le" if sys.byteorder == "little" else "utf-32-be"
_DECAY = 0.97  # of a rate's weight is left after the next observation: about 30 observations count


@dataclass(slots=True)
class _Rate:
    """How often drafts were accepted lately. Starts as three tries, of which ``hits`` were accepted."""

    hits: float
    tries: float = 3.0

    def add(self, is_accepted: bool) -> None:
        self.hits = self.hits * _DECAY + is_accepted
        self.tries = self.tries * _DECAY + 1

    @property
    def share(self) -> float:
        return self.hits / self.tries


@dataclass(slots=True)
class AcceptanceRates:
    """Acceptance of drafts by the length of the match: of the first token, and of tokens after an accepted one.

    Drafts that were not tried count as well: the tokens that were generated instead show whether they were right.
    """

    first: dict[int, _Rate] = field(default_factory=lambda: {n: _Rate(0.3 * n) for n in MATCH_TOKENS})
    later: dict[int, _Rate] = field(default_factory=lambda: {n: _Rate(2.0) for n in MATCH_TOKENS})
    batch_size: int = 1
    """How many sequences share a pass now. They share its fixed cost, so that one more token is relatively dearer."""

    def best_length(self, match: int, longest: int, costs: Sequence[float]) -> int:
        """The draft length with the most expected tokens per time; 0 where no draft pays.

        ``costs[n]`` is the time of one pass over ``n`` + 1 tokens.
        """
        per_token = (costs[-1] - costs[0]) / max(len(costs) - 1, 1)
        shared_cost = max(costs[0] - per_token, 0.0) * (1 - 1 / self.batch_size)
        best, best_speed = 0, 1 / (costs[0] - shared_cost)
        expected, acceptance = 1.0, self.first[match].share
        for length in range(1, min(longest, len(costs) - 1) + 1):
            expected += acceptance
            acceptance *= self.later[match].share
            speed = expected / (costs[length] - shared_cost)
            if speed > best_speed:
                best, best_speed = length, speed
        return best


class DraftHistory:
    """What drafts of later requests use: the latest answers, and how often drafts were accepted."""

    def __init__(self) -> None:
        self.rates = AcceptanceRates()
        self._answers: deque[str] = deque(maxlen=MAX_RETAINED_ANSWERS)

    def add(self, prompt: Sequence[int], answer: Sequence[int]) -> None:
        """Retain ``answer`` behind the last tokens of the prompt that it continued."""
        if answer:
            self._answers.append(_encode([*prompt[-MATCH_TOKENS[0] :], *answer]))

    def clear_answers(self) -> None:
        """Forget the answers and keep the acceptance rates."""
        self._answers.clear()

    def text(self) -> str:
        """The answers, a character per token, with a separator between them."""
        return _SEPARATOR.join(self._answers)


class PromptLookup:
    """The drafts of one request."""

    def __init__(self, prompt: Sequence[int], history: DraftHistory) -> None:
        self._written = _encode(prompt)
        self._answers = history.text()
        self._rates = history.rates
        self._draft = ""  # the newest one at full length, and how many of its tokens were right so far
        self._match_tokens = 0
        self._right_tokens = 0

    def append(self, id_: int) -> None:
        """``id_`` is the next token of the sequence."""
        token = chr(id_)
        self._written += token
        if self._right_tokens < len(self._draft):
            is_right = self._draft[self._right_tokens] == token
            rates = self._rates.later if self._right_tokens else self._rates.first
            rates[self._match_tokens].add(is_right)
            self._right_tokens = self._right_tokens + 1 if is_right else len(self._draft)

    def propose(
        self, longest: int, costs: Sequence[float], is_allowed: Callable[[int], bool] = lambda _: True
    ) -> list[int]:
        """A draft of at most ``longest`` tokens; empty where trying one would not pay.

        ``is_allowed`` is called with the first token of each possible draft.
        """
        self._draft, self._match_tokens, self._right_tokens = "", 0, 0
        for match in MATCH_TOKENS:
            if len(self._written) < match or not (draft := self._continuation(self._written[-match:])):
                continue
            if is_allowed(ord(draft[0])):
                self._draft, self._match_tokens = draft, match
                length = self._rates.best_length(match, min(longest, len(draft)), costs)
                return [ord(token) for token in draft[:length]]
        return []

    def _continuation(self, tail: str) -> str:
        """What follows the last occurrence of ``tail`` in the latest answers, else in this sequence."""
        for text, end in ((self._answers, len(self._answers)), (self._written, len(self._written) - 1)):
            found = text.rfind(tail, 0, end)
            if found >= 0:
                start = found + len(tail)
                if draft := text[start : start + MAX_DRAFT_TOKENS].partition(_SEPARATOR)[0]:
                    return draft
        return ""


def _encode(ids: Sequence[int]) -> str:
    """``"".join(map(chr, ids))``, five times as fast: 0.01 ms for a prompt of 1,000."""
    return array("I", ids).tobytes().decode(_UTF_32, "surrogatepass")
