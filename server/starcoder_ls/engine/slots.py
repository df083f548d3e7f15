"""Which cache a request continues: the idle one that already holds most of its prompt.

Decides what is kept between requests. Refuses to know the model; a slot trusts whoever holds it to keep ``ids`` and
cache in step.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from starcoder_ls.engine.kv import KvCache

KEPT = 4  # the document being typed in, the place before a jump, another document, a guess


@dataclass(slots=True)
class Slot:
    """A cache and the ids whose keys and values it holds, in order."""

    cache: KvCache
    ids: list[int] = field(default_factory=list)
    used_s: float = 0.0

    def rewind(self, length: int) -> None:
        """Keep the first ``length`` ids. They are shortened first: a slot may claim less than it holds, never more."""
        del self.ids[length:]
        self.cache.truncate(length)

    def extend(self, ids: Sequence[int]) -> None:
        """The cache now holds these too."""
        self.ids.extend(ids)


class Slots:
    """The idle slots of one model; used by the engine's thread alone."""

    def __init__(self, layers: int) -> None:
        self._layers = layers
        self._idle: list[Slot] = []

    @property
    def bytes(self) -> int:
        return sum(slot.cache.bytes for slot in self._idle)

    def clear(self) -> None:
        self._idle.clear()

    def holds(self, prompt: Sequence[int]) -> bool:
        """All of ``prompt`` is in an idle slot: reading it would only forget what that slot holds beyond."""
        return any(common_prefix(slot.ids, prompt) == len(prompt) for slot in self._idle)

    @contextmanager
    def lease(self, prompt: Sequence[int], room: int, is_guess: bool = False) -> Iterator[Slot]:
        """A slot that holds the longest start of ``prompt`` to be had, less one token, and space for ``room`` ids.

        One token less, because its logits are not kept. After an exception the slot is dropped: what its cache
        holds is not known then. A guess leaves the slot as old as it was, so that wrong guesses drive out each other
        and not what is in use.
        """
        slot = self._best(prompt)
        slot.rewind(min(common_prefix(slot.ids, prompt), len(prompt) - 1))
        slot.cache.reserve(room)
        yield slot
        slot.used_s = slot.used_s if is_guess else time.monotonic()
        self._idle.append(slot)
        if len(self._idle) > KEPT:
            self._idle.remove(min(self._idle, key=lambda idle: idle.used_s))

    def _best(self, prompt: Sequence[int]) -> Slot:
        """The slot most of which is of use, else a new one, else the one that waited longest.

        Most of it: every prompt of a family begins with the same special token, which makes no slot the right one.
        """
        best = max(self._idle, key=lambda slot: common_prefix(slot.ids, prompt), default=None)
        if best is None or 2 * common_prefix(best.ids, prompt) < min(len(best.ids), len(prompt)):
            if len(self._idle) < KEPT:
                return Slot(KvCache(self._layers, 0))
            best = min(self._idle, key=lambda slot: slot.used_s)
        self._idle.remove(best)
        return best


def common_prefix(left: Sequence[int], right: Sequence[int]) -> int:
    """How many ids the two begin alike with."""
    shared = min(len(left), len(right))
    return next((i for i in range(shared) if left[i] != right[i]), shared)
