"""Rows at fixed addresses for the keys and values of several sequences, which CUDA graphs read and write.

Assigns caches to rows and evicts the least recently used. A cache in a row has no other storage, so that nothing is
copied back after a replay.
"""

from __future__ import annotations

import logging
import weakref
from collections.abc import Callable, Iterable, Sequence

import torch

from starcoder_ls.engine.kv_cache.cache import KeysAndValues, KvCache

SPARE_TOKENS = 32
"""Positions after the last one of each row, which are never read: rows that take no part in a pass write there, and so
do the tokens that pad a row at its end. As many as the tokens that a pass reads per row."""

POSITION_MULTIPLE = 128
"""Rows of several key heads have a multiple of so many positions: ``gqa_attention`` splits them at this distance."""

MAX_FREE_FRACTION = 0.25
"""Of the device's free memory, for each ``StaticKv``."""

KvShape = tuple[int, int, int]
"""Layers, heads of keys, head_dim."""

_log = logging.getLogger(__name__)


class StaticKv:
    """``rows`` rows of ``tokens`` positions each. Used inside ``torch.inference_mode`` by the engine's thread only."""

    def __init__(self, rows: int, tokens: int, shape: KvShape, device: torch.device, dtype: torch.dtype) -> None:
        layers, heads, head_dim = shape
        self.rows, self.tokens = rows, tokens
        # Zeros, since positions that were never written are multiplied by 0, and NaN times 0 is NaN.
        pool_shape = (layers, 2, rows, heads, stored_positions(tokens, heads), head_dim)
        self._pool = torch.zeros(pool_shape, device=device, dtype=dtype)
        self._views = [
            [(layer[0, row : row + 1, :, :tokens], layer[1, row : row + 1, :, :tokens]) for layer in self._pool]
            for row in range(rows)
        ]
        self._holders: list[weakref.ref[KvCache] | None] = [None] * rows
        self._row_by_backing = {id(views): row for row, views in enumerate(self._views)}
        self._last_used = [0] * rows  # counted in assignments
        self._assignments = 0

    @property
    def bytes(self) -> int:
        """Memory of all rows."""
        return int(self._pool.nbytes)

    def layer_views(self, rows: int) -> list[KeysAndValues]:
        """Return keys and values of each layer for the first ``rows`` rows, spare tokens included.

        # each [rows, heads, tokens + SPARE_TOKENS or more, head_dim]
        """
        return [(layer[0, :rows], layer[1, :rows]) for layer in self._pool]

    def is_compatible(self, cache: KvCache) -> bool:
        """Whether the rows of ``cache`` have the shape, type and device of these."""
        keys = cache.first_layer_keys
        if keys is None:
            return len(cache.layers) == len(self._pool)
        is_same_type = (keys.dtype, keys.device) == (self._pool.dtype, self._pool.device)
        is_same_shape = (keys.shape[1], keys.shape[3]) == (self._pool.shape[3], self._pool.shape[5])
        return is_same_type and len(cache.layers) == len(self._pool) and is_same_shape

    def assign(self, caches: Sequence[KvCache], rows: int) -> list[int]:
        """Move ``caches`` into the first ``rows`` rows, and return the row of each.

        Other caches move to other rows or to storage of their own. Raises the device's out-of-memory error if there is
        no memory for such storage.
        """
        self._assignments += 1
        for cache in caches:
            row = self._row_of(cache)
            if row is None or row >= rows:
                target = self._least_recently_used(range(rows), caches)
                if row is None:
                    self._evict(target, caches)
                    self._set_holder(cache, target)
                else:
                    self._swap(row, target)
                row = target
            self._last_used[row] = self._assignments
        return [row for cache in caches if (row := self._row_of(cache)) is not None]

    def release(self) -> None:
        """Move all caches to storage of their own. Raises the device's out-of-memory error if there is none."""
        for row in range(self.rows):
            if (holder := self._holder(row)) is not None:
                holder.detach_backing()

    def _holder(self, row: int) -> KvCache | None:
        """Return the cache in this row. One that has outgrown the row in some layers is detached in all."""
        holder = self._holders[row]
        cache = None if holder is None else holder()
        if cache is not None and cache.backing is self._views[row]:
            if cache.is_view:
                return cache
            cache.detach_backing()
        self._holders[row] = None
        return None

    def _row_of(self, cache: KvCache) -> int | None:
        row = self._row_by_backing.get(id(cache.backing))
        return row if row is not None and self._holder(row) is cache else None

    def _least_recently_used(self, rows: range, excluded: Sequence[KvCache]) -> int:
        """Return an empty row, else the least recently used of those that hold none of ``excluded``."""
        candidates = [row for row in rows if not any(self._holder(row) is cache for cache in excluded)]
        return min(candidates, key=lambda row: (self._holder(row) is not None, self._last_used[row]))

    def _evict(self, row: int, excluded: Sequence[KvCache]) -> None:
        """Move the cache in ``row`` to an empty row, or to that of the least recently used, which is detached."""
        if self._holder(row) is None:
            return
        other = self._least_recently_used(range(self.rows), excluded)
        if (evicted := self._holder(other)) is not None:
            evicted.detach_backing()
        if other != row:
            self._swap(row, other)

    def _set_holder(self, cache: KvCache, row: int, is_copied: bool = False) -> None:
        cache.attach_backing(self._views[row], is_copied)
        self._holders[row] = weakref.ref(cache)

    def _swap(self, left: int, right: int) -> None:
        """Exchange the caches of two rows, if any: one copy for all layers, not one for each."""
        left_cache, right_cache = self._holder(left), self._holder(right)
        tokens = max(0 if cache is None else cache.length for cache in (left_cache, right_cache))
        rows = self._pool[:, :, :, :, :tokens]
        left_states = rows[:, :, left].clone()
        rows[:, :, left].copy_(rows[:, :, right])
        rows[:, :, right].copy_(left_states)
        self._holders[left] = self._holders[right] = None
        for cache, row in ((left_cache, right), (right_cache, left)):
            if cache is not None:
                self._set_holder(cache, row, is_copied=True)
        self._last_used[left], self._last_used[right] = self._last_used[right], self._last_used[left]


def allocate_static_kv(
    shape: KvShape,
    device: torch.device,
    dtype: torch.dtype,
    sizes: Iterable[tuple[int, Sequence[int]]],
    free_bytes: Callable[[], int],
) -> list[StaticKv]:
    """Allocate rows for each of ``sizes``: tokens per row, and the numbers of rows to choose from, largest first.

    Each ``StaticKv`` takes at most ``MAX_FREE_FRACTION`` of the device's free memory; a size of which no number of rows
    fits is left out.
    """
    layers, heads, head_dim = shape
    token_bytes = 2 * layers * heads * head_dim * dtype.itemsize  # keys and values
    allocated: list[StaticKv] = []
    for tokens, row_counts in sizes:
        max_rows = MAX_FREE_FRACTION * free_bytes() / token_bytes / stored_positions(tokens, heads)
        rows = next((rows for rows in row_counts if rows <= max_rows), 0)
        if rows:
            allocated.append(StaticKv(rows, tokens, shape, device, dtype))
        else:
            _log.warning("No CUDA graphs for sequences of %d tokens: the device has too little free memory", tokens)
    return allocated


def stored_positions(tokens: int, heads: int) -> int:
    """The positions of a row for ``tokens`` tokens and the spare ones."""
    positions = tokens + SPARE_TOKENS
    return positions if heads == 1 else -(-positions // POSITION_MULTIPLE) * POSITION_MULTIPLE
