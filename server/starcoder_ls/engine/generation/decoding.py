"""The decode loop's passes: the logits after the selected tokens, from a forward pass or from one over drafts before.

The logits are those of plain decoding, whatever was drafted. A slot claims a token only once it has been selected.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence

from starcoder_ls.engine.forward_pass import ForwardPass, LogitsFor
from starcoder_ls.engine.generation.predicted_text import PredictedText
from starcoder_ls.engine.generation.prompt_lookup import PromptLookup
from starcoder_ls.engine.kv_cache.prefix_cache import PrefixSlot
from starcoder_ls.engine.logits import Logits

PassRequest = Generator[ForwardPass, Logits | None, Logits | None]
"""Yields at most one pass and returns logits; None if the pass was not run, because the request has ended."""


class Decoder:
    """Decodes one request in the slot's own cache, or in a fork of it with a row for each candidate.

    ``costs[n]`` is the time of one pass over ``n`` + 1 tokens. Drafts need a single row.
    """

    def __init__(
        self, slot: PrefixSlot, lookup: PromptLookup | PredictedText | None = None, costs: Sequence[float] = ()
    ) -> None:
        self._slot, self._cache = slot, slot.cache
        self._lookup, self._costs = lookup, costs
        self._draft: list[int] = []
        self._verified: list[tuple[int, Logits]] = []  # drafts that were read and not selected yet, last first
        self.passes = self.draft_tokens = self.accepted_tokens = 0
        self.pass_ms = 0.0

    def first_pass(self, chunk: list[int], room: int, is_allowed: Callable[[int], bool]) -> ForwardPass:
        """The pass over ``chunk``, the end of the prompt, and a draft of what follows it.

        ``room`` is the number of tokens to generate; ``is_allowed`` says whether a token may be the first of them.
        """
        draft: list[int] = []
        if self._lookup is not None and len(chunk) < len(self._costs):
            draft = self._lookup.propose(room, self._costs[len(chunk) - 1 :], is_allowed)
        self._draft = draft
        return ForwardPass([[*chunk, *draft]], self._slot.cache, LogitsFor.ALL if draft else LogitsFor.LAST)

    def after_prompt(self, logits: Logits) -> Logits:
        """The logits after the prompt, taken from those of the first pass.  # [1, vocabulary]"""
        draft = self._draft
        end = len(logits) - len(draft)  # one row without a draft
        self._keep_verified(draft, logits[end:])
        return logits[end - 1 : end]

    def fork(self, rows: int, capacity: int) -> None:
        """Continue with ``rows`` sequences of at most ``capacity`` tokens."""
        self._cache = self._slot.cache.fork(rows, capacity)

    def advance(self, selected: list[int], room: int) -> PassRequest:
        """Append one token to each row; the logits after them.  # [rows, vocabulary]

        ``room`` is the number of tokens still to generate.
        """
        if self._lookup is None:
            logits = yield from self._run(ForwardPass([[id_] for id_ in selected], self._cache))
            if logits is not None and self._cache is self._slot.cache:
                self._slot.extend(selected)
            return logits
        (id_,) = selected
        self._lookup.append(id_)
        if self._verified and self._verified[-1][0] == id_:
            self.accepted_tokens += 1
            self._slot.extend([id_])
            return self._verified.pop()[1]
        return (yield from self._verify(id_, self._lookup.propose(room - 1, self._costs)))

    def keep_rows(self, rows: list[int]) -> None:
        """Drop all rows but these."""
        self._cache.select_rows(rows)

    def finish(self) -> None:
        """Remove drafts from the cache that were read and not selected."""
        self._verified = []
        if self._cache is self._slot.cache:
            self._cache.truncate(self._slot.cached_tokens)

    def _verify(self, id_: int, draft: list[int]) -> PassRequest:
        """Read ``id_`` and ``draft`` in one pass; the logits after ``id_``.  # [1, vocabulary]"""
        self._verified = []
        self._cache.truncate(self._slot.cached_tokens)  # the part of the last draft that was not selected
        logits_for = LogitsFor.ALL if draft else LogitsFor.LAST
        logits = yield from self._run(ForwardPass([[id_, *draft]], self._cache, logits_for))  # [1 + draft, vocabulary]
        if logits is None:
            return None
        self._slot.extend([id_])
        self._keep_verified(draft, logits[1:])
        return logits[:1]

    def _keep_verified(self, draft: list[int], logits: Logits) -> None:
        """``draft`` has been read; ``logits`` [draft, vocabulary] are those after each of its tokens."""
        self._verified = [(draft[n], logits[n : n + 1]) for n in reversed(range(len(draft)))]
        self.draft_tokens += len(draft)

    def _run(self, forward_pass: ForwardPass) -> PassRequest:
        logits = yield forward_pass
        self.passes += logits is not None
        self.pass_ms += forward_pass.took_ms
        return logits
