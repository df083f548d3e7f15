"""Consistent hashing with bounded loads (Mirrokni, Thorup, Zadimoghaddam, arXiv 1608.01350).

Requests of one document go to the replica whose prefix cache has its prompt. A replica that is added or removed moves
only its own share of the documents, and a replica with too much work passes requests on to the next of the ring.
"""

from __future__ import annotations

import bisect
import hashlib
import math
from collections.abc import Callable, Iterator, Sequence

_POINTS_PER_REPLICA = 128
"""The shares of replicas then differ by about 9 % (the standard deviation is 1 / sqrt(points))."""


MIN_BOUND = 8
"""A replica with fewer requests is not overloaded, whatever the average is: engines answer several in one batch, and
the next replica would have to read the whole prompt. Without it, of 12 documents on two replicas every sixth request
went to the replica that did not have its prompt."""


class HashRing:
    """``names`` are the replicas."""

    def __init__(self, names: Sequence[str]) -> None:
        points = sorted(
            (_position(f"{name}#{number}"), name) for name in names for number in range(_POINTS_PER_REPLICA)
        )
        self._positions = [position for position, _ in points]
        self._names = [name for _, name in points]

    def in_order(self, key: str) -> Iterator[str]:
        """Every replica once, in the order in which they are asked for ``key``."""
        start = bisect.bisect_right(self._positions, _position(key))
        seen: set[str] = set()
        for step in range(len(self._names)):
            name = self._names[(start + step) % len(self._names)]
            if name not in seen:
                seen.add(name)
                yield name

    def choose(self, key: str, load_of: Callable[[str], int | None], factor: float) -> list[str]:
        """The usable replicas for ``key``, the best first.

        ``load_of`` gives the requests that a replica works on, None if it cannot be used. Those that have less than
        ``factor`` times the average, with this request, or less than MIN_BOUND, come first in the order of the ring;
        the others follow by load.
        """
        loads = {name: load for name in self.in_order(key) if (load := load_of(name)) is not None}
        if not loads:
            return []
        bound = max(math.ceil(factor * (sum(loads.values()) + 1) / len(loads)), MIN_BOUND)
        free = [name for name, load in loads.items() if load < bound]
        return free + sorted((name for name in loads if name not in free), key=loads.__getitem__)


def _position(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest())
