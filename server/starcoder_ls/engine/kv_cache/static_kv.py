"""Places at fixed addresses for the keys and values of several sequences: what CUDA graphs read and write.

Decides which cache sits where, and which one gives way. A cache that sits has no other memory, so that nothing is ever
copied back. Refuses to know graphs, models and requests.
"""

from __future__ import annotations

import logging
import weakref
from collections.abc import Callable, Sequence

import torch

from starcoder_ls.engine.cuda_graphs import buckets
from starcoder_ls.engine.kv_cache.cache import KvCache

SPARE_TOKENS = 8
"""Behind the last place of each row, never read: rows that take no part in a pass write there, and the tokens that pad
a row up to its end. As many as a pass reads in one row."""

MAX_FREE_FRACTION = 0.25
"""Of the free memory of the device, for each table of seats."""

KeysAndValues = tuple[torch.Tensor, torch.Tensor]
KvShape = tuple[int, int, int]
"""Layers, heads of keys, width of a head."""

_log = logging.getLogger(__name__)


class StaticKv:
    """``rows`` places for ``tokens`` tokens each.

    Used inside ``torch.inference_mode`` and by the engine's thread alone.
    """

    def __init__(self, rows: int, tokens: int, states: KvShape, device: torch.device, dtype: torch.dtype) -> None:
        layers, heads, dim = states
        self.rows, self.tokens = rows, tokens
        # Zeros: what was never written is masked, but a NaN times nothing would be a NaN.
        size = (layers, 2, rows, heads, tokens + SPARE_TOKENS, dim)
        self._pool = torch.zeros(size, device=device, dtype=dtype)
        self._views = [
            [(layer[0, row : row + 1, :, :tokens], layer[1, row : row + 1, :, :tokens]) for layer in self._pool]
            for row in range(rows)
        ]
        self._holders: list[weakref.ref[KvCache] | None] = [None] * rows
        self._row_by_home = {id(views): row for row, views in enumerate(self._views)}
        self._used = [0] * rows
        self._clock = 0

    @property
    def bytes(self) -> int:
        return int(self._pool.nbytes)

    def layer_views(self, rows: int) -> list[KeysAndValues]:
        """All of the first ``rows`` places, the spare tokens included.  # a pair of [rows, heads, tokens, dim] each"""
        return [(layer[0, :rows], layer[1, :rows]) for layer in self._pool]

    def is_compatible(self, cache: KvCache) -> bool:
        """Whether ``cache`` is one sequence of the shape and type that is kept here."""
        states = cache.first_layer_keys
        if states is None:
            return len(cache.layers) == len(self._pool)
        is_alike = (states.dtype, states.device) == (self._pool.dtype, self._pool.device)
        of_row = (1, self._pool.shape[3], self._pool.shape[5])
        return is_alike and len(cache.layers) == len(self._pool) and (*states.shape[:2], states.shape[3]) == of_row

    def assign(self, caches: Sequence[KvCache], rows: int) -> list[int]:
        """The row of each of ``caches``, which sit among the first ``rows`` afterwards. Others move, or leave.

        Raises what the device says where there is no room for one that leaves.
        """
        self._clock += 1
        for cache in caches:
            row = self._row_of(cache)
            if row is None or row >= rows:
                target = self._least_used(range(rows), caches)
                if row is None:
                    self._vacate(target, caches)
                    self._seat(cache, target)
                else:
                    self._exchange(row, target)
                row = target
            self._used[row] = self._clock
        return [row for cache in caches if (row := self._row_of(cache)) is not None]

    def release(self) -> None:
        """Everybody leaves. Raises what the device says where there is no room."""
        for row in range(self.rows):
            if (holder := self._holder(row)) is not None:
                holder.detach_backing()

    def _holder(self, row: int) -> KvCache | None:
        """Who sits there. One that has outgrown the row in some layers leaves it in all."""
        holder = self._holders[row]
        cache = None if holder is None else holder()
        if cache is not None and cache.backing is self._views[row]:
            if cache.is_view:
                return cache
            cache.detach_backing()
        self._holders[row] = None
        return None

    def _row_of(self, cache: KvCache) -> int | None:
        row = self._row_by_home.get(id(cache.backing))
        return row if row is not None and self._holder(row) is cache else None

    def _least_used(self, rows: range, but: Sequence[KvCache]) -> int:
        """An empty row, or the one that waited longest of those that hold none of ``but``."""
        free = [row for row in rows if not any(self._holder(row) is cache for cache in but)]
        return min(free, key=lambda row: (self._holder(row) is not None, self._used[row]))

    def _vacate(self, row: int, staying: Sequence[KvCache]) -> None:
        """Whoever sits in ``row`` moves to where nobody does, if need be in place of who waited longest."""
        if self._holder(row) is None:
            return
        other = self._least_used(range(self.rows), staying)
        if (leaving := self._holder(other)) is not None:
            leaving.detach_backing()
        if other != row:
            self._exchange(row, other)

    def _seat(self, cache: KvCache, row: int, is_copied: bool = False) -> None:
        cache.attach_backing(self._views[row], is_copied)
        self._holders[row] = weakref.ref(cache)

    def _exchange(self, left: int, right: int) -> None:
        """Whoever sits in these two rows, if anybody, changes places: a copy for all layers, not one for each."""
        mine, its = self._holder(left), self._holder(right)
        count = max(0 if cache is None else cache.length for cache in (mine, its))
        rows = self._pool[:, :, :, :, :count]
        kept = rows[:, :, left].clone()
        rows[:, :, left].copy_(rows[:, :, right])
        rows[:, :, right].copy_(kept)
        self._holders[left] = self._holders[right] = None
        for cache, row in ((mine, right), (its, left)):
            if cache is not None:
                self._seat(cache, row, is_copied=True)
        self._used[left], self._used[right] = self._used[right], self._used[left]


def allocate_static_kv(
    states: KvShape,
    device: torch.device,
    dtype: torch.dtype,
    context_tokens: int,
    free_bytes: Callable[[], int],
) -> list[StaticKv]:
    """Seats for many sequences, and one for a sequence of any length, as far as the device has room for them."""
    layers, heads, dim = states
    token_bytes = 2 * layers * heads * dim * dtype.itemsize
    shared = min(buckets.MAX_SHARED_KV_TOKENS, context_tokens)
    made: list[StaticKv] = []
    for tokens, choices in ((shared, buckets.ROW_COUNTS[::-1]), (context_tokens, (1,))):
        if made and made[0].tokens == tokens:
            continue
        room = MAX_FREE_FRACTION * free_bytes() / token_bytes / (tokens + SPARE_TOKENS)
        rows = next((rows for rows in choices if rows <= room), 0)
        if rows:
            made.append(StaticKv(rows, tokens, states, device, dtype))
        else:
            _log.warning("no CUDA graphs for sequences of %d tokens: the device has too little free memory", tokens)
    return made
