"""Keys and values of one sequence, or of several that began alike, in storage that is written in place.

Decides how storage grows, is cut back and forked. Refuses to know tokens, and whether what it holds is still right.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import torch
from transformers.cache_utils import Cache, DynamicLayer

GROWTH_TOKENS = 256  # capacities are multiples of this, so that a typing user reallocates rarely


class _Layer(DynamicLayer):  # type: ignore[no-untyped-call]
    """One layer of ``length`` tokens. ``keys`` and ``values`` are views of them: [rows, heads, time, head_dim].

    Also for sliding windows: everything is kept, and the model's mask leaves out what lies behind the window.
    """

    def __init__(self, capacity: int) -> None:
        self.storage: tuple[torch.Tensor, torch.Tensor] | None = None
        super().__init__()  # type: ignore[no-untyped-call]
        self.capacity, self.length = capacity, 0
        self.is_view = False  # the storage is somebody else's

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *_args: Any, **_kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Append [rows, heads, new, head_dim]; the answer is all of it."""
        start = self.length
        end = start + key_states.shape[-2]
        if self.storage is None or end > self.storage[0].shape[-2]:
            self._allocate(key_states, value_states, max(end, self.capacity))
            assert self.storage is not None
        self.storage[0][:, :, start:end].copy_(key_states)
        self.storage[1][:, :, start:end].copy_(value_states)
        return self.show(end)

    def room(self, rows: int, end: int, like: torch.Tensor, dim: int) -> tuple[torch.Tensor, torch.Tensor]:
        """The storage, allocated for ``end`` tokens of one head if it holds fewer."""
        if self.storage is None or end > self.storage[0].shape[-2]:
            shape = like.new_empty((rows, 1, 0, dim))
            self._allocate(shape, shape, max(end, self.capacity))
            assert self.storage is not None
        return self.storage

    def truncate(self, length: int) -> None:
        self.length = min(self.length, length)

    def fork(self, rows: int, capacity: int) -> _Layer:
        fork = _Layer(capacity)
        if self.storage is not None:
            keys, values = self.show(self.length)
            fork.update(keys.expand(rows, -1, -1, -1), values.expand(rows, -1, -1, -1))
        return fork

    def select_rows(self, rows: torch.Tensor) -> None:
        if self.storage is not None:
            length = self.length
            self.storage = (self.storage[0][rows], self.storage[1][rows])
            self.is_view = False
            self.show(length)

    def attach_backing(self, storage: tuple[torch.Tensor, torch.Tensor], is_copied: bool) -> None:
        """Live in ``storage`` from here on; ``is_there`` says that what is held has been copied already."""
        if self.length and not is_copied:
            for new, old in zip(storage, self.show(self.length), strict=True):
                new[:, :, : self.length].copy_(old)
        self.storage, self.is_view = storage, True
        self.dtype, self.device, self.is_initialized = storage[0].dtype, storage[0].device, True

    def detach_backing(self) -> None:
        """Back to memory of its own."""
        if self.is_view:
            self._allocate(*self.show(self.length), max(self.length, self.capacity))

    def _allocate(self, keys: torch.Tensor, values: torch.Tensor, capacity: int) -> None:
        """New storage shaped like the given states, holding what was there before."""
        tokens = -(-capacity // GROWTH_TOKENS) * GROWTH_TOKENS
        length = self.length
        fresh = (
            keys.new_empty((*keys.shape[:2], tokens, keys.shape[3])),
            values.new_empty((*values.shape[:2], tokens, values.shape[3])),
        )
        for new, old in zip(fresh, self.storage or (), strict=False):
            new[:, :, :length].copy_(old[:, :, :length])
        self.storage, self.is_view = fresh, False
        self.dtype, self.device, self.is_initialized = keys.dtype, keys.device, True
        self.show(length)

    def show(self, length: int) -> tuple[torch.Tensor, torch.Tensor]:
        assert self.storage is not None
        self.length = length
        keys, values = (stored[:, :, :length] for stored in self.storage)
        return keys, values

    # Views made when somebody looks: for each of a small model's layers in each pass they took a tenth of it.
    @property
    def keys(self) -> torch.Tensor | None:
        return None if self.storage is None else self.storage[0][:, :, : self.length]

    @keys.setter
    def keys(self, _states: torch.Tensor | None) -> None:
        """What a new layer of transformers says of itself: nothing yet."""

    @property
    def values(self) -> torch.Tensor | None:
        return None if self.storage is None else self.storage[1][:, :, : self.length]

    @values.setter
    def values(self, _states: torch.Tensor | None) -> None: ...


class KvCache(Cache):
    """All layers. Use it inside ``torch.inference_mode`` only: its storage is written in place."""

    def __init__(self, layers: int, capacity: int) -> None:
        super().__init__(layers=[_Layer(capacity) for _ in range(layers)])
        self.backing: Sequence[tuple[torch.Tensor, torch.Tensor]] | None = None  # what ``move`` named last

    @property
    def _kv_layers(self) -> list[_Layer]:
        return cast("list[_Layer]", self.layers)

    @property
    def length(self) -> int:
        """Tokens held."""
        return self._kv_layers[0].length

    @property
    def bytes(self) -> int:
        """Memory allocated, used or not; none while all of it is lent."""
        return sum(x.nbytes for layer in self._kv_layers if not layer.is_view for x in layer.storage or ())

    @property
    def is_view(self) -> bool:
        """All of it lives in memory that ``move`` named. Layers outgrow that in order, so that two tell of all."""
        return self._kv_layers[0].is_view and self._kv_layers[-1].is_view

    @property
    def first_layer_keys(self) -> torch.Tensor | None:
        """The first layer's keys, for their shape and type; None where nothing was ever held."""
        storage = self._kv_layers[0].storage
        return None if storage is None else storage[0]

    def writable_storage(
        self, rows: int, end: int, like: torch.Tensor, dim: int
    ) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Keys and values of each layer with room for ``end`` tokens, to be written behind ``length``; one head each.

        ``advance`` says that it was done.  # [rows, 1, capacity, dim]
        """
        return [layer.room(rows, end, like, dim) for layer in self._kv_layers]

    def set_length(self, end: int) -> None:
        """The first ``end`` tokens are there now."""
        for layer in self._kv_layers:
            layer.length = end

    def reserve(self, tokens: int) -> None:
        """Make the next allocation hold ``tokens``; none happens now."""
        for layer in self._kv_layers:
            layer.capacity = max(layer.capacity, tokens)

    def attach_backing(self, storages: Sequence[tuple[torch.Tensor, torch.Tensor]], is_copied: bool = False) -> None:
        """Live in ``storages``, a pair per layer, until one is outgrown or ``leave`` is called; this has a single row.

        ``is_there`` says that what is held has been copied already.  # [1, heads, capacity, head_dim]
        """
        self.backing = storages
        for layer, storage in zip(self._kv_layers, storages, strict=True):
            layer.attach_backing(storage, is_copied)

    def detach_backing(self) -> None:
        """Back to memory of its own, in whichever layers are not there."""
        for layer in self._kv_layers:
            layer.detach_backing()
        self.backing = None

    def truncate(self, length: int) -> None:
        """Forget all after the first ``length`` tokens."""
        for layer in self._kv_layers:
            layer.truncate(length)

    def fork(self, rows: int, capacity: int) -> KvCache:
        """A copy with ``rows`` equal rows and room for ``capacity`` tokens; this one has a single row."""
        fork = KvCache(0, capacity)
        fork.layers = [layer.fork(rows, capacity) for layer in self._kv_layers]
        return fork

    def select_rows(self, rows: list[int]) -> None:
        """Drop every row but these."""
        for layer in self._kv_layers:
            device = None if layer.storage is None else layer.storage[0].device
            layer.select_rows(torch.tensor(rows, device=device))
