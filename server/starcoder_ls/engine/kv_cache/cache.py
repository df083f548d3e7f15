"""Keys and values of one sequence, or of several with a common beginning, in storage that is written in place.

Storage grows by reallocation in steps of ``GROWTH_TOKENS``, unless it is a view of rows that ``static_kv`` provides.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import torch
from transformers.cache_utils import Cache, DynamicLayer

GROWTH_TOKENS = 256
"""Capacities are multiples of this, so that storage is rarely reallocated while a user types."""

KeysAndValues = tuple[torch.Tensor, torch.Tensor]


class _Layer(DynamicLayer):  # type: ignore[no-untyped-call]
    """One layer of ``length`` tokens. ``keys`` and ``values`` are views of its storage: [rows, heads, time, head_dim].

    Also used for sliding windows: all tokens stay in the cache, and the attention mask hides those before the window.
    """

    def __init__(self, capacity: int) -> None:
        self.storage: KeysAndValues | None = None
        super().__init__()  # type: ignore[no-untyped-call]
        self.capacity, self.length = capacity, 0
        self.is_view = False  # whether the storage belongs to the backing of ``KvCache.attach_backing``

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *_args: Any, **_kwargs: Any
    ) -> KeysAndValues:
        """Append states [rows, heads, new, head_dim] and return those of all tokens: [rows, heads, time, head_dim]."""
        start = self.length
        end = start + key_states.shape[-2]
        if self.storage is None or end > self.storage[0].shape[-2]:
            self._allocate(key_states, value_states, max(end, self.capacity))
            assert self.storage is not None
        self.storage[0][:, :, start:end].copy_(key_states)
        self.storage[1][:, :, start:end].copy_(value_states)
        return self._resize(end)

    def writable_storage(self, rows: int, end: int, like: torch.Tensor, heads: int, head_dim: int) -> KeysAndValues:
        """Return the storage, reallocated if its capacity is under ``end`` tokens."""
        if self.storage is None or end > self.storage[0].shape[-2]:
            empty = like.new_empty((rows, heads, 0, head_dim))
            self._allocate(empty, empty, max(end, self.capacity))
            assert self.storage is not None
        return self.storage

    def truncate(self, length: int) -> None:
        self.length = min(self.length, length)

    def fork(self, rows: int, capacity: int) -> _Layer:
        fork = _Layer(capacity)
        if self.storage is not None:
            keys, values = self._resize(self.length)
            fork.update(keys.expand(rows, -1, -1, -1), values.expand(rows, -1, -1, -1))
        return fork

    def select_rows(self, rows: torch.Tensor) -> None:
        if self.storage is not None:
            self.storage = (self.storage[0][rows], self.storage[1][rows])
            self.is_view = False

    def row(self, row: int) -> _Layer:
        """A layer of one row, which shares its storage with this one."""
        layer = _Layer(self.capacity)
        if self.storage is not None:
            keys, values = (states[row : row + 1] for states in self.storage)
            layer.storage, layer.length = (keys, values), self.length
            layer.dtype, layer.device, layer.is_initialized = keys.dtype, keys.device, True
        return layer

    def join(self, rows: Sequence[_Layer]) -> None:
        """Replace the tokens of this layer by those of ``rows``, of one row each, in storage of its own."""
        self.storage, self.length, self.is_view = None, 0, False
        states = [(layer.keys, layer.values) for layer in rows]
        keys, values = zip(*states, strict=True)
        self.update(torch.cat(keys), torch.cat(values))

    def attach_backing(self, storage: KeysAndValues, is_copied: bool) -> None:
        """Use ``storage`` from here on; ``is_copied`` says that it already holds the tokens of this layer."""
        if self.length and not is_copied:
            for new, old in zip(storage, self._resize(self.length), strict=True):
                new[:, :, : self.length].copy_(old)
        self.storage, self.is_view = storage, True
        self.dtype, self.device, self.is_initialized = storage[0].dtype, storage[0].device, True

    def detach_backing(self) -> None:
        """Copy the tokens to storage of this layer's own."""
        if self.is_view:
            self._allocate(*self._resize(self.length), max(self.length, self.capacity))

    def _allocate(self, keys: torch.Tensor, values: torch.Tensor, capacity: int) -> None:
        """Allocate storage with the rows, heads and head_dim of the given states, and copy the tokens into it."""
        tokens = -(-capacity // GROWTH_TOKENS) * GROWTH_TOKENS
        length = self.length
        storage = (
            keys.new_empty((*keys.shape[:2], tokens, keys.shape[3])),
            values.new_empty((*values.shape[:2], tokens, values.shape[3])),
        )
        for new, old in zip(storage, self.storage or (), strict=False):
            new[:, :, :length].copy_(old[:, :, :length])
        self.storage, self.is_view = storage, False
        self.dtype, self.device, self.is_initialized = keys.dtype, keys.device, True

    def _resize(self, length: int) -> KeysAndValues:
        """Set the number of tokens and return views of them."""
        assert self.storage is not None
        self.length = length
        keys, values = (states[:, :, :length] for states in self.storage)
        return keys, values

    # Views made on access: made for each layer in each pass, they took a tenth of the time of a small model's pass.
    @property
    def keys(self) -> torch.Tensor | None:
        return None if self.storage is None else self.storage[0][:, :, : self.length]

    @keys.setter
    def keys(self, _states: torch.Tensor | None) -> None:
        """Ignore what the constructor of transformers assigns: None."""

    @property
    def values(self) -> torch.Tensor | None:
        return None if self.storage is None else self.storage[1][:, :, : self.length]

    @values.setter
    def values(self, _states: torch.Tensor | None) -> None: ...


class KvCache(Cache):
    """All layers. Use it inside ``torch.inference_mode`` only: its storage is written in place."""

    def __init__(self, layers: int, capacity: int) -> None:
        super().__init__(layers=[_Layer(capacity) for _ in range(layers)])
        self.backing: Sequence[KeysAndValues] | None = None  # the argument of the last ``attach_backing``
        self._row_caches: list[KvCache] | None = None  # what holds the tokens after ``split_rows``

    @property
    def _kv_layers(self) -> list[_Layer]:
        return cast("list[_Layer]", self.layers)

    @property
    def length(self) -> int:
        """Number of tokens in the cache."""
        return self._kv_layers[0].length if self._row_caches is None else self._row_caches[0].length

    @property
    def bytes(self) -> int:
        """Memory that this cache has allocated, used or not; a backing does not count."""
        if self._row_caches is not None:
            return sum(cache.bytes for cache in self._row_caches)
        return sum(x.nbytes for layer in self._kv_layers if not layer.is_view for x in layer.storage or ())

    @property
    def is_view(self) -> bool:
        """Whether all layers use the backing. They outgrow it in order, so that the first and the last are enough."""
        return self._kv_layers[0].is_view and self._kv_layers[-1].is_view

    @property
    def first_layer_keys(self) -> torch.Tensor | None:
        """Storage of the first layer's keys: [rows, heads, capacity, head_dim]. None before anything was cached."""
        if self._row_caches is not None:
            return self._row_caches[0].first_layer_keys
        storage = self._kv_layers[0].storage
        return None if storage is None else storage[0]

    def writable_storage(
        self, rows: int, end: int, like: torch.Tensor, heads: int, head_dim: int
    ) -> list[KeysAndValues]:
        """Return the storage of each layer with a capacity of ``end`` tokens or more.

        The caller writes new states after the first ``length`` tokens and then calls ``set_length``. New storage has
        the type and device of ``like``.  # each [rows, heads, capacity, head_dim]
        """
        return [layer.writable_storage(rows, end, like, heads, head_dim) for layer in self._kv_layers]

    def set_length(self, length: int) -> None:
        """Declare the first ``length`` tokens of ``writable_storage`` written."""
        for cache in self._row_caches or ():
            cache.set_length(length)
        for layer in self._kv_layers:
            layer.length = length

    def reserve(self, tokens: int) -> None:
        """Make the next allocation hold at least ``tokens``. Nothing is allocated now."""
        for layer in self._kv_layers:
            layer.capacity = max(layer.capacity, tokens)

    def attach_backing(self, backing: Sequence[KeysAndValues], is_copied: bool = False) -> None:
        """Store a single row in ``backing``, a pair per layer, until it is outgrown or ``detach_backing`` is called.

        ``is_copied`` says that the backing already holds the tokens.  # each [1, heads, capacity, head_dim]
        """
        self.backing = backing
        for layer, storage in zip(self._kv_layers, backing, strict=True):
            layer.attach_backing(storage, is_copied)

    def detach_backing(self) -> None:
        """Copy the tokens to storage of this cache's own, in those layers that use the backing."""
        for layer in self._kv_layers:
            layer.detach_backing()
        self.backing = None

    def truncate(self, length: int) -> None:
        """Drop all tokens after the first ``length``."""
        for cache in self._row_caches or ():
            cache.truncate(length)
        for layer in self._kv_layers:
            layer.truncate(length)

    def fork(self, rows: int, capacity: int) -> KvCache:
        """Return a copy with ``rows`` equal rows and room for ``capacity`` tokens; this cache has a single row."""
        fork = KvCache(0, capacity)
        fork.layers = [layer.fork(rows, capacity) for layer in self._kv_layers]
        return fork

    def select_rows(self, rows: list[int]) -> None:
        """Keep these rows, in this order, and drop the others."""
        if self._row_caches is not None:
            self._row_caches = [self._row_caches[row] for row in rows]
            return
        for layer in self._kv_layers:
            device = None if layer.storage is None else layer.storage[0].device
            layer.select_rows(torch.tensor(rows, device=device))

    def split_rows(self) -> list[KvCache]:
        """The rows as caches of a single row, which hold the tokens from here on; the cache itself if it has one row.

        Nothing is copied. Only lengths and rows may be read and changed until ``join_rows``.
        """
        if self._row_caches is not None:
            return self._row_caches
        keys = self.first_layer_keys
        if keys is None or keys.shape[0] == 1:
            return [self]
        caches = []
        for row in range(keys.shape[0]):
            cache = KvCache(0, 0)
            cache.layers = [layer.row(row) for layer in self._kv_layers]
            caches.append(cache)
        for layer in self._kv_layers:
            layer.storage = None
        self._row_caches = caches
        return caches

    def join_rows(self) -> None:
        """Copy the rows of ``split_rows`` back to storage of this cache. Raises the device's out-of-memory error."""
        caches = self._row_caches
        if caches is None:
            return
        for number, layer in enumerate(self._kv_layers):
            layer.join([cache._kv_layers[number] for cache in caches])
        self._row_caches = None
