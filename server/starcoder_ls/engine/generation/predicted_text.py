"""Drafts from a text that the answer probably copies in parts: the code that an edit leaves as it is.

Decides how long a draft is: it doubles while drafts are right, and is short again after a token that differs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from starcoder_ls.engine.generation.prompt_lookup import MAX_DRAFT_TOKENS, PromptLookup
from starcoder_ls.engine.runner.pass_costs import MAX_CHUNK_MS

MAX_PREDICTED_TOKENS = 63
"""Of one draft. Their logits take 12 MB for a vocabulary of 49,152."""

_MATCH_TOKENS, _MAX_MATCH_TOKENS = 2, 8
_CERTAIN_TOKENS = 8
"""After so many right tokens the answer is in step with the prediction again, and not by accident."""
_MAX_SKIPPED_TOKENS = 160
"""How much of the prediction an edit may leave out or replace."""


class PredictedText:
    """The drafts of one request with the tokens ``prediction``.

    ``lookup`` proposes drafts where the answer has left the prediction. ``longest`` is the most tokens of a draft.
    """

    def __init__(self, prediction: Sequence[int], lookup: PromptLookup, longest: int) -> None:
        self._ids, self._lookup, self._longest = list(prediction), lookup, longest
        self._next: int | None = 0
        """The index of the token that should follow; None while the answer differs."""
        self._length = min(2 * MAX_DRAFT_TOKENS, longest)
        self._left_at = 0
        self._differing: list[int] = []
        """The tokens since the answer left the prediction, until it is certainly in step again."""
        self._right = 0

    def append(self, id_: int) -> None:
        """``id_`` is the next token of the answer."""
        self._lookup.append(id_)
        if self._next is not None and self._next < len(self._ids) and self._ids[self._next] == id_:
            self._next += 1
            self._right += 1
            if self._differing:
                self._differing = [] if self._right >= _CERTAIN_TOKENS else [*self._differing, id_]
            return
        if self._next is not None and not self._differing:
            self._left_at = self._next
        self._differing.append(id_)
        self._right, self._length = 0, min(MAX_DRAFT_TOKENS, self._longest)
        self._next = self._find_continuation()

    def propose(
        self, longest: int, costs: Sequence[float], is_allowed: Callable[[int], bool] = lambda _: True
    ) -> list[int]:
        """A draft of at most ``longest`` tokens, as ``PromptLookup.propose``."""
        if self._next is None or self._next >= len(self._ids) or not is_allowed(self._ids[self._next]):
            return self._lookup.propose(longest, costs, is_allowed)
        draft = self._ids[self._next : self._next + min(longest, self._length)]
        if not self._differing:
            self._length = min(2 * self._length, self._longest)
        return draft

    def _find_continuation(self) -> int | None:
        """Where the prediction goes on after the last tokens of the answer; None if it is not there.

        The longest match counts, of equally long ones the nearest. One token is enough where tokens were replaced by
        equally many.
        """
        ids, last = self._ids, self._differing[-_MAX_MATCH_TOKENS:]
        replaced = self._left_at + len(self._differing)
        best = replaced if len(self._differing) > 1 and ids[replaced - 1 : replaced] == last[-1:] else None
        best_length = _MATCH_TOKENS - 1
        for end in range(self._left_at + _MATCH_TOKENS, min(len(ids), self._left_at + _MAX_SKIPPED_TOKENS) + 1):
            length = 0
            while length < len(last) and end - length > self._left_at and ids[end - 1 - length] == last[-1 - length]:
                length += 1
            if length > best_length:
                best, best_length = end, length
        return best


def longest_draft(costs: Sequence[float], chunk_tokens: int) -> int:
    """The most draft tokens of a pass that takes ``MAX_CHUNK_MS``, or what the longest pass of ``costs`` takes.

    ``costs[n]`` is the time of one pass over ``n`` + 1 tokens, at least two; ``chunk_tokens``: tokens that a pass may
    read.
    """
    token_ms = (costs[-1] - costs[0]) / (len(costs) - 1)
    room_ms = max(MAX_CHUNK_MS, costs[-1]) - costs[0]
    affordable = MAX_PREDICTED_TOKENS if token_ms <= 0 else int(room_ms / token_ms)
    return max(1, min(affordable, MAX_PREDICTED_TOKENS, chunk_tokens - 1))
