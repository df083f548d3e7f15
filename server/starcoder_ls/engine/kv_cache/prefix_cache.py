"""The KV caches that stay between requests, so that a prompt is prefilled only after what a cache already holds.

A request continues the idle slot with the longest common prefix. The owner of a slot keeps ``ids`` and cache equal.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Container, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from starcoder_ls.engine.kv_cache.cache import KvCache

SLOTS_PER_CLIENT = 4
"""The document being edited, the position before a jump, another document or an explanation, and a prefetch."""

CLIENT_TIMEOUT_S = 600.0
"""A client that sent no request for this long has no share of the slots."""

MAX_IDLE_BYTES = 1 << 30
"""Memory of all idle slots; a single client's ``SLOTS_PER_CLIENT`` may exceed it."""

AdapterKey = tuple[str, int] | None
"""Name and generation of an adapter, None for the base. Keys and values of different adapters differ."""


@dataclass(slots=True)
class PrefixSlot:
    """A cache and the ids whose keys and values it holds, in order, after the virtual tokens of its adapter."""

    cache: KvCache
    ids: list[int] = field(default_factory=list)
    last_used_s: float = 0.0
    adapter_key: AdapterKey = None
    virtual_tokens: int = 0
    client: str = ""

    @property
    def cached_tokens(self) -> int:
        """Confirmed tokens of the cache, virtual ones included."""
        return self.virtual_tokens + len(self.ids)

    def truncate(self, length: int) -> None:
        """Keep the first ``length`` ids.

        The ids are truncated first, so that after an interruption the slot declares fewer tokens than it holds and
        never more.
        """
        del self.ids[length:]
        self.cache.truncate(self.virtual_tokens + length)

    def extend(self, ids: Sequence[int]) -> None:
        """Declare that the cache now holds these ids too."""
        self.ids.extend(ids)


class PrefixCache:
    """The idle slots of one model. Used by the engine's thread only."""

    def __init__(self, layers: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._layers, self._clock = layers, clock
        self._idle: list[PrefixSlot] = []
        self._min_slots, self._max_bytes = SLOTS_PER_CLIENT, MAX_IDLE_BYTES

    @property
    def bytes(self) -> int:
        """Memory of all idle slots."""
        return sum(slot.cache.bytes for slot in self._idle)

    def shrink(self) -> None:
        """Drop all idle slots after an out-of-memory error, and halve the memory that idle slots may take from now on.

        A single slot may exceed the new limit.
        """
        if self._idle:
            self._min_slots, self._max_bytes = 1, min(self._max_bytes, self.bytes) // 2
        self._idle.clear()

    def contains(self, prompt: Sequence[int], adapter_key: AdapterKey = None) -> bool:
        """Whether an idle slot holds all of ``prompt``; prefilling it would only truncate that slot."""
        return any(
            slot.adapter_key == adapter_key and common_prefix_length(slot.ids, prompt) == len(prompt)
            for slot in self._idle
        )

    def retain_adapters(self, adapter_keys: Container[AdapterKey]) -> None:
        """Drop the idle slots of all other adapters."""
        self._idle = [slot for slot in self._idle if slot.adapter_key in adapter_keys]

    @contextmanager
    def acquire(
        self,
        prompt: Sequence[int],
        capacity: int,
        adapter_key: AdapterKey = None,
        virtual_tokens: int = 0,
        is_prefetch: bool = False,
    ) -> Iterator[PrefixSlot]:
        """Provide a slot of ``adapter_key`` that holds the longest beginning of ``prompt`` but its last token.

        The last token is prefilled again because its logits are not cached. The cache will hold ``capacity`` ids
        without reallocation. After an exception the slot is dropped, since its cache may hold anything then. A prefetch
        leaves the time of last use as it was, so that useless prefetches evict each other and no slot in use.
        """
        slot = self._take_best(prompt, adapter_key)
        slot.virtual_tokens = virtual_tokens
        slot.truncate(min(common_prefix_length(slot.ids, prompt), len(prompt) - 1))
        slot.cache.reserve(virtual_tokens + capacity)
        yield slot
        slot.last_used_s = slot.last_used_s if is_prefetch else self._clock()
        self._idle.append(slot)
        while len(self._idle) > self._max_slots or (self.bytes > self._max_bytes and len(self._idle) > self._min_slots):
            self._idle.remove(min(self._idle, key=lambda idle: idle.last_used_s))

    @property
    def _max_slots(self) -> int:
        """Number of idle slots for all clients with a recent request."""
        since_s = self._clock() - CLIENT_TIMEOUT_S
        return SLOTS_PER_CLIENT * max(1, len({slot.client for slot in self._idle if slot.last_used_s > since_s}))

    def _take_best(self, prompt: Sequence[int], adapter_key: AdapterKey) -> PrefixSlot:
        """Return the slot with the longest common prefix if that is half of it, else a new slot, else the oldest.

        At least half, because all prompts of a model family begin with the same special token.
        """
        candidates = [slot for slot in self._idle if slot.adapter_key == adapter_key]
        best = max(candidates, key=lambda slot: common_prefix_length(slot.ids, prompt), default=None)
        if best is None or 2 * common_prefix_length(best.ids, prompt) < min(len(best.ids), len(prompt)):
            if len(self._idle) < self._max_slots or not candidates:
                return PrefixSlot(KvCache(self._layers, 0), adapter_key=adapter_key)
            best = min(candidates, key=lambda slot: slot.last_used_s)
        self._idle.remove(best)
        return best


def common_prefix_length(left: Sequence[int], right: Sequence[int]) -> int:
    """Return the number of equal ids at the beginning of both."""
    low, high = 0, min(len(left), len(right))
    while low < high:  # bisection: comparing slices of lists is faster than comparing their ids in a loop
        middle = (low + high + 1) // 2
        low, high = (middle, high) if left[low:middle] == right[low:middle] else (low, middle - 1)
    return low
