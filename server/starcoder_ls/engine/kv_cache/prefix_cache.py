"""Which cache a request continues: the idle one that already holds most of its prompt.

Decides what is kept between requests. Refuses to know the model; a slot trusts whoever holds it to keep ``ids`` and
cache in step.
"""

from __future__ import annotations

import time
from collections.abc import Container, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from starcoder_ls.engine.generation.prompt_lookup import DraftHistory, Record
from starcoder_ls.engine.kv_cache.cache import KvCache

SLOTS_PER_CLIENT = 4
"""For each client: the document being typed in, the place before a jump, another one or an explanation, a guess."""

CLIENT_TIMEOUT_S = 600.0  # after its last request; then its slots are the first to go

MAX_IDLE_BYTES = 1 << 30
"""Of all idle slots, where there are more than KEPT."""

AdapterKey = tuple[str, int] | None
"""Whose keys and values they are: an adapter's name and generation, or None for the base; they differ."""


@dataclass(slots=True)
class PrefixSlot:
    """A cache and the ids whose keys and values it holds, in order, behind the virtual tokens of its owner."""

    cache: KvCache
    ids: list[int] = field(default_factory=list)
    last_used_s: float = 0.0
    adapter_key: AdapterKey = None
    virtual_tokens: int = 0
    client: str = ""

    @property
    def cached_tokens(self) -> int:
        """Tokens of the cache that are confirmed, virtual ones included."""
        return self.virtual_tokens + len(self.ids)

    def truncate(self, length: int) -> None:
        """Keep the first ``length`` ids. They are shortened first: a slot may claim less than it holds, never more."""
        del self.ids[length:]
        self.cache.truncate(self.virtual_tokens + length)

    def extend(self, ids: Sequence[int]) -> None:
        """The cache now holds these too."""
        self.ids.extend(ids)


class PrefixCache:
    """The idle slots of one model; used by the engine's thread alone."""

    def __init__(self, layers: int) -> None:
        self._layers = layers
        self._idle: list[PrefixSlot] = []
        self._least, self._most_bytes = SLOTS_PER_CLIENT, MAX_IDLE_BYTES
        self.answers, self.record = DraftHistory(), Record()  # what drafts are made of, and what became of them

    @property
    def bytes(self) -> int:
        return sum(slot.cache.bytes for slot in self._idle)

    def shrink(self) -> None:
        """There was no room: all idle slots go, and from here on half of what they took is kept, if need be one."""
        if self._idle:
            self._least, self._most_bytes = 1, min(self._most_bytes, self.bytes) // 2
        self._idle.clear()

    def contains(self, prompt: Sequence[int], adapter_key: AdapterKey = None) -> bool:
        """All of ``prompt`` is in an idle slot: reading it would only forget what that slot holds beyond."""
        return any(
            slot.adapter_key == adapter_key and common_prefix_length(slot.ids, prompt) == len(prompt)
            for slot in self._idle
        )

    def retain_adapters(self, owners: Container[AdapterKey]) -> None:
        """Drop the idle slots of adapters that are gone."""
        self._idle = [slot for slot in self._idle if slot.adapter_key in owners]

    @contextmanager
    def acquire(
        self,
        prompt: Sequence[int],
        room: int,
        adapter_key: AdapterKey = None,
        virtual_tokens: int = 0,
        is_prefetch: bool = False,
    ) -> Iterator[PrefixSlot]:
        """The slot of ``owner`` with the longest start of ``prompt``, less one token, and space for ``room`` ids.

        One token less, because its logits are not kept. After an exception the slot is dropped: what its cache
        holds is not known then. A guess leaves the slot as old as it was, so that wrong guesses drive out each other
        and not what is in use.
        """
        slot = self._best(prompt, adapter_key)
        slot.virtual_tokens = virtual_tokens
        slot.truncate(min(common_prefix_length(slot.ids, prompt), len(prompt) - 1))
        slot.cache.reserve(virtual_tokens + room)
        yield slot
        slot.last_used_s = slot.last_used_s if is_prefetch else time.monotonic()
        self._idle.append(slot)
        while len(self._idle) > self._kept or (self.bytes > self._most_bytes and len(self._idle) > self._least):
            self._idle.remove(min(self._idle, key=lambda idle: idle.last_used_s))

    @property
    def _kept(self) -> int:
        """How many are kept for all who are here."""
        since_s = time.monotonic() - CLIENT_TIMEOUT_S
        return SLOTS_PER_CLIENT * max(1, len({slot.client for slot in self._idle if slot.last_used_s > since_s}))

    def _best(self, prompt: Sequence[int], adapter_key: AdapterKey) -> PrefixSlot:
        """The slot most of which is of use, else a new one, else the one that waited longest.

        Most of it: every prompt of a family begins with the same special token, which makes no slot the right one.
        """
        own = [slot for slot in self._idle if slot.adapter_key == adapter_key]
        best = max(own, key=lambda slot: common_prefix_length(slot.ids, prompt), default=None)
        if best is None or 2 * common_prefix_length(best.ids, prompt) < min(len(best.ids), len(prompt)):
            if len(self._idle) < self._kept or not own:
                return PrefixSlot(KvCache(self._layers, 0), adapter_key=adapter_key)
            best = min(own, key=lambda slot: slot.last_used_s)
        self._idle.remove(best)
        return best


def common_prefix_length(left: Sequence[int], right: Sequence[int]) -> int:
    """How many ids the two begin alike with."""
    low, high = 0, min(len(left), len(right))
    while low < high:  # by halves, since lists are compared faster than their ids one by one
        middle = (low + high + 1) // 2
        low, high = (middle, high) if left[low:middle] == right[low:middle] else (low, middle - 1)
    return low
