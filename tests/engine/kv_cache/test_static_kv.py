"""Caches that move between static rows and storage of their own preserve their keys and values."""

from __future__ import annotations

import gc
import random
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from starcoder_ls.engine.cuda_graphs.buckets import static_kv_sizes
from starcoder_ls.engine.kv_cache.cache import GROWTH_TOKENS, KvCache
from starcoder_ls.engine.kv_cache.static_kv import MAX_FREE_FRACTION, StaticKv, allocate_static_kv, stored_positions

LAYERS, HEADS, HEAD_DIM = SHAPE = (2, 2, 3)
CPU = torch.device("cpu")


def token_states(value: int) -> torch.Tensor:
    """The states of one token in one layer.  # [1, heads, 1, head_dim]"""
    return torch.full((1, HEADS, 1, HEAD_DIM), float(value))


def append(cache: KvCache, ids: list[int]) -> None:
    with torch.inference_mode():
        for layer in range(LAYERS):
            keys = torch.cat([token_states(id_ * (layer + 1)) for id_ in ids], dim=2)
            cache.update(keys, -keys, layer)


def cached_ids(cache: KvCache) -> list[int]:
    """Decode the ids from the keys and values of every layer; all layers must agree."""
    ids_of_layers = []
    for number, layer in enumerate(cache._kv_layers):
        if layer.storage is None:
            ids_of_layers.append([])
            continue
        assert torch.equal(layer.keys, -layer.values)
        assert (layer.keys == layer.keys[:, :1, :, :1]).all()
        ids_of_layers.append([int(value) // (number + 1) for value in layer.keys[0, 0, :, 0]])
    assert all(ids == ids_of_layers[0] for ids in ids_of_layers)
    return ids_of_layers[0]


def new_static_kv(rows: int = 4, tokens: int = 12) -> StaticKv:
    with torch.inference_mode():
        return StaticKv(rows, tokens, SHAPE, CPU, torch.float32)


def new_cache(*ids: int) -> KvCache:
    cache = KvCache(LAYERS, 0)
    if ids:
        append(cache, list(ids))
    return cache


def assign(static_kv: StaticKv, caches: list[KvCache], rows: int) -> list[int]:
    with torch.inference_mode():
        return static_kv.assign(caches, rows)


@dataclass
class Scenario:
    """Two StaticKv, and caches with the ids that each must hold."""

    static_kvs: list[StaticKv] = field(default_factory=lambda: [new_static_kv(4, 12), new_static_kv(1, 30)])
    caches: list[tuple[KvCache, list[int]]] = field(default_factory=list)
    last_id: int = 0

    def create(self, rng: random.Random) -> None:
        self.caches.append((new_cache(), []))
        self.append(rng)

    def append(self, rng: random.Random) -> None:
        if self.caches:
            cache, ids = rng.choice(self.caches)
            new_ids = [self.last_id + n for n in range(1, rng.randrange(2, 6))]
            self.last_id += len(new_ids)
            append(cache, new_ids)
            ids += new_ids

    def truncate(self, rng: random.Random) -> None:
        if self.caches:
            cache, ids = rng.choice(self.caches)
            del ids[rng.randrange(len(ids) + 1) :]
            cache.truncate(len(ids))

    def delete(self, rng: random.Random) -> None:
        if self.caches:
            self.caches.pop(rng.randrange(len(self.caches)))

    def fork(self, rng: random.Random) -> None:
        if self.caches:
            cache, ids = rng.choice(self.caches)
            if ids:
                with torch.inference_mode():
                    self.caches.append((cache.fork(1, len(ids) + 3), list(ids)))

    def assign(self, rng: random.Random) -> None:
        """Assign a group as for a pass, and write what a pass writes: a token each, and into the unused rows."""
        static_kv = rng.choice(self.static_kvs)
        fitting = [
            (cache, ids) for cache, ids in self.caches if len(ids) < static_kv.tokens and static_kv.is_compatible(cache)
        ]
        group = rng.sample(fitting, min(len(fitting), rng.randrange(1, static_kv.rows + 1)))
        row_counts = [rows for rows in (1, 2, 4) if len(group) <= rows <= static_kv.rows]
        if not group:
            return
        rows = rng.choice(row_counts)
        assigned = assign(static_kv, [cache for cache, _ in group], rows)
        assert sorted(set(assigned)) == sorted(assigned), "each has a row of its own"
        assert max(assigned) < rows
        with torch.inference_mode():
            for number, (keys, values) in enumerate(static_kv.layer_views(rows)):
                assert keys.shape == (rows, HEADS, stored_positions(static_kv.tokens, HEADS), HEAD_DIM)
                for row in range(rows):
                    position, id_ = static_kv.tokens, 999
                    if row in assigned:
                        position, id_ = len(group[assigned.index(row)][1]), self.last_id + 1 + row
                    keys[row, :, position] = float(id_ * (number + 1))
                    values[row, :, position] = -float(id_ * (number + 1))
        for (cache, ids), row in zip(group, assigned, strict=True):
            ids.append(self.last_id + 1 + row)
            cache.set_length(len(ids))
        self.last_id += rows

    def release(self, rng: random.Random) -> None:
        with torch.inference_mode():
            rng.choice(self.static_kvs).release()


STEPS = ("create", "append", "append", "truncate", "assign", "assign", "assign", "delete", "fork", "release")


@settings(max_examples=150, deadline=None)
@given(st.lists(st.sampled_from(STEPS), min_size=5, max_size=40), st.integers(0, 9999))
def test_caches_preserve_their_states_in_any_sequence_of_steps(steps: list[str], seed: int) -> None:
    rng, scenario = random.Random(seed), Scenario()
    for step in ("create", "create", *steps):
        getattr(scenario, step)(rng)
        for cache, ids in scenario.caches:
            assert cached_ids(cache) == ids, step


def run_random_steps() -> None:
    for seed in range(40):
        rng, scenario = random.Random(seed), Scenario()
        for step in ("create", "create", "create", *rng.choices(STEPS, k=40)):
            getattr(scenario, step)(rng)
            assert all(cached_ids(cache) == ids for cache, ids in scenario.caches)


def mutant_attach_without_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache is attached to a row with the states of its last holder."""
    exact = KvCache.attach_backing
    monkeypatch.setattr(KvCache, "attach_backing", lambda cache, backing, _is_copied=False: exact(cache, backing, True))


def mutant_rows_reversed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pass writes into the row of another cache."""
    exact = StaticKv.assign
    monkeypatch.setattr(StaticKv, "assign", lambda static_kv, caches, rows: exact(static_kv, caches, rows)[::-1])


def mutant_swap_without_states(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two caches exchange their rows and not the states in them."""

    def swap(static_kv: StaticKv, left: int, right: int) -> None:
        left_cache, right_cache = static_kv._holder(left), static_kv._holder(right)
        static_kv._holders[left] = static_kv._holders[right] = None
        for cache, row in ((left_cache, right), (right_cache, left)):
            if cache is not None:
                static_kv._set_holder(cache, row, is_copied=True)

    monkeypatch.setattr(StaticKv, "_swap", swap)


def mutant_no_eviction(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two caches get the same row."""
    monkeypatch.setattr(StaticKv, "_evict", lambda *_: None)


@pytest.mark.parametrize(
    "mutant",
    [mutant_attach_without_copy, mutant_rows_reversed, mutant_swap_without_states, mutant_no_eviction],
)
def test_random_steps_detect_mutants(
    mutant: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    run_random_steps()
    mutant(monkeypatch)
    with pytest.raises(AssertionError):
        run_random_steps()


def test_assigned_cache_allocates_only_when_it_outgrows_its_row() -> None:
    static_kv, cache = new_static_kv(), new_cache(1, 2, 3)
    assert cache.bytes == LAYERS * 2 * GROWTH_TOKENS * HEADS * HEAD_DIM * 4
    assert assign(static_kv, [cache], 1) == [0]
    assert cache.is_view
    assert cache.bytes == 0
    append(cache, list(range(4, 13)))
    assert cache.is_view
    append(cache, [13])
    assert cached_ids(cache) == list(range(1, 14))
    assert not cache.is_view
    assert cache.bytes > 0


def test_cache_that_outgrew_its_row_in_one_layer_is_detached_in_all() -> None:
    """As after a pass that ran out of memory between two layers."""
    static_kv, cache, other = new_static_kv(1), new_cache(*range(1, 13)), new_cache(7)
    assign(static_kv, [cache], 1)
    with torch.inference_mode():
        cache.update(token_states(13), -token_states(13), 0)
    cache.truncate(12)
    assert not cache.is_view
    assign(static_kv, [other], 1)
    append(other, [8, 9])
    assert cached_ids(cache) == list(range(1, 13))
    assert cached_ids(other) == [7, 8, 9]


def test_least_recently_used_cache_is_evicted() -> None:
    static_kv, caches = new_static_kv(), [new_cache(n) for n in range(1, 6)]
    for cache in caches[:4]:
        assign(static_kv, [cache], 4)
    assign(static_kv, [caches[0]], 4)
    assign(static_kv, [caches[4]], 4)
    assert [cache.is_view for cache in caches] == [True, False, True, True, True]


def test_single_cache_moves_to_first_row_and_group_keeps_its_rows() -> None:
    static_kv, caches = new_static_kv(), [new_cache(n) for n in range(1, 5)]
    rows = assign(static_kv, caches, 4)
    assert assign(static_kv, caches, 4) == rows
    assert assign(static_kv, [caches[2]], 1) == [0]
    assert all(cache.is_view for cache in caches), "there is a row for each"
    assert [cached_ids(cache) for cache in caches] == [[1], [2], [3], [4]]


def test_row_of_deleted_cache_is_empty() -> None:
    static_kv, cache = new_static_kv(1), new_cache(1)
    assign(static_kv, [cache], 1)
    del cache
    gc.collect()
    assert static_kv._holder(0) is None


def test_cache_of_other_type_or_layers_is_incompatible() -> None:
    static_kv, cache = new_static_kv(), new_cache(1, 2)
    with torch.inference_mode():
        assert static_kv.is_compatible(cache.fork(2, 8)), "its rows are assigned one by one"
    float64_cache = KvCache(LAYERS, 0)
    with torch.inference_mode():
        for layer in range(LAYERS):
            float64_cache.update(token_states(1).double(), token_states(1).double(), layer)
    assert not static_kv.is_compatible(float64_cache)
    assert not static_kv.is_compatible(KvCache(LAYERS + 1, 0))
    assert static_kv.is_compatible(cache)
    assert static_kv.is_compatible(KvCache(LAYERS, 0))


def test_allocation_takes_limited_fraction_of_free_memory() -> None:
    token_bytes = 2 * LAYERS * HEADS * HEAD_DIM * 4
    row_bytes = token_bytes * stored_positions(2048, HEADS)

    def allocate(context_tokens: int, free_bytes: float) -> list[StaticKv]:
        return allocate_static_kv(
            SHAPE,
            CPU,
            torch.float32,
            static_kv_sizes(context_tokens),
            lambda: free_bytes,  # type: ignore[arg-type, return-value]
        )

    def sizes(free_bytes: float) -> list[tuple[int, int]]:
        return [(static_kv.rows, static_kv.tokens) for static_kv in allocate(8192, free_bytes)]

    assert sizes(1e12) == [(16, 2048), (1, 8192)]
    assert sizes(row_bytes * 5 / MAX_FREE_FRACTION) == [(4, 2048), (1, 8192)]
    assert sizes(row_bytes * 1 / MAX_FREE_FRACTION) == [(1, 2048)]
    assert sizes(0) == []
    (static_kv,) = allocate(300, 1 << 40)
    assert static_kv.tokens == 300
    assert static_kv.bytes == 16 * token_bytes * stored_positions(300, HEADS)
