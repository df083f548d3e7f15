"""What comes after the tokens just chosen: from a forward pass, or known already from one over drafts.

Decides when a pass is wanted and over how many tokens. Refuses to know how a token is chosen: the logits are those of
plain decoding whatever was drafted, and a slot claims no token before it is chosen.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence

from starcoder_ls.engine.generation.prompt_lookup import PromptLookup
from starcoder_ls.engine.kv_cache.prefix_cache import PrefixSlot
from starcoder_ls.engine.runner.forward_pass import ForwardPass, LogitsFor
from starcoder_ls.engine.runner.logits import Logits

Reading = Generator[ForwardPass, Logits | None, Logits | None]
"""Wants a pass, or none, and answers logits; None where the pass was not run, since the request is over."""


class Decoder:
    """The decoding of one request, in the slot's own cache or a fork of it with a row per candidate.

    Drafts need a single row. ``costs[n]`` is the time of one pass over ``n`` + 1 tokens.
    """

    def __init__(self, slot: PrefixSlot, drafts: PromptLookup | None = None, costs: Sequence[float] = ()) -> None:
        self._slot, self._cache = slot, slot.cache
        self._drafts, self._costs = drafts, costs
        self._draft: list[int] = []
        self._known: list[tuple[int, Logits]] = []  # drafts that were read and not chosen yet, last first
        self.passes = self.draft_tokens = self.accepted_tokens = 0
        self.pass_ms = 0.0

    def first(self, chunk: list[int], room: int, is_possible: Callable[[int], bool]) -> ForwardPass:
        """The pass over ``chunk``, the end of the prompt: guesses at what follows may be read along.

        ``is_possible`` says whether a token may be the next.
        """
        draft: list[int] = []
        if self._drafts is not None and len(chunk) < len(self._costs):
            costs = self._costs[len(chunk) - 1 :]
            draft = self._drafts.proposed(room, costs, is_possible)
        self._draft = draft
        return ForwardPass([[*chunk, *draft]], self._slot.cache, LogitsFor.ALL if draft else LogitsFor.LAST)

    def read(self, logits: Logits) -> Logits:
        """Those after the prompt, of the ``logits`` of the first pass.  # [1, vocabulary]"""
        draft = self._draft
        end = len(logits) - len(draft)  # one row without a draft
        self._know(draft, logits[end:])
        return logits[end - 1 : end]

    def fork(self, rows: int, capacity: int) -> None:
        """Go on with ``rows`` sequences, of ``capacity`` tokens at most."""
        self._cache = self._slot.cache.fork(rows, capacity)

    def after(self, chosen: list[int], room: int) -> Reading:
        """Logits after one more token in each row, ``room`` tokens being wanted at most.  # [rows, vocabulary]"""
        if self._drafts is None:
            logits = yield from self._run(ForwardPass([[id_] for id_ in chosen], self._cache))
            if logits is not None and self._cache is self._slot.cache:
                self._slot.extend(chosen)
            return logits
        (id_,) = chosen
        self._drafts.saw(id_)
        if self._known and self._known[-1][0] == id_:
            self.accepted_tokens += 1
            self._slot.extend([id_])
            return self._known.pop()[1]
        return (yield from self._passed(id_, self._drafts.proposed(room - 1, self._costs)))

    def keep(self, rows: list[int]) -> None:
        """Drop every row but these."""
        self._cache.select_rows(rows)

    def end(self) -> None:
        """Forget drafts that were read and not chosen."""
        self._known = []
        if self._cache is self._slot.cache:
            self._cache.truncate(self._slot.cached_tokens)

    def _passed(self, id_: int, draft: list[int]) -> Reading:
        self._known = []
        self._cache.truncate(self._slot.cached_tokens)  # what was read of a draft that was not chosen
        wanted = ForwardPass([[id_, *draft]], self._cache, LogitsFor.ALL if draft else LogitsFor.LAST)
        logits = yield from self._run(wanted)  # [1 + draft, vocabulary]
        if logits is None:
            return None
        self._slot.extend([id_])
        self._know(draft, logits[1:])
        return logits[:1]

    def _know(self, draft: list[int], logits: Logits) -> None:
        """``draft`` has been read: what comes after each of it.  # logits [draft, vocabulary]"""
        self._known = [(draft[n], logits[n : n + 1]) for n in reversed(range(len(draft)))]
        self.draft_tokens += len(draft)

    def _run(self, wanted: ForwardPass) -> Reading:
        logits = yield wanted
        self.passes += logits is not None
        self.pass_ms += wanted.took_ms
        return logits
