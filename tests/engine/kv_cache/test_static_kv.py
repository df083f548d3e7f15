"""Caches that move between seats and memory of their own hold what they would hold without."""

from __future__ import annotations

import gc
import random
from dataclasses import dataclass, field

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from starcoder_ls.engine.kv_cache.cache import GROWTH_TOKENS, KvCache
from starcoder_ls.engine.kv_cache.static_kv import MAX_FREE_FRACTION, SPARE_TOKENS, StaticKv, allocate_static_kv

STATES = (2, 2, 3)  # layers, heads, width
CPU = torch.device("cpu")


def told(value: int) -> torch.Tensor:
    """The state of one token in one layer.  # [1, heads, 1, width]"""
    return torch.full((1, STATES[1], 1, STATES[2]), float(value))


def extend(cache: KvCache, ids: list[int]) -> None:
    with torch.inference_mode():
        for layer in range(STATES[0]):
            new = torch.cat([told(id_ * (layer + 1)) for id_ in ids], dim=2)
            cache.update(new, -new, layer)


def held(cache: KvCache) -> list[int]:
    """What every layer's keys and values say; they must agree."""
    found = []
    for number, layer in enumerate(cache._kv_layers):
        if layer.storage is None:
            found.append([])
            continue
        assert torch.equal(layer.keys, -layer.values)
        assert (layer.keys == layer.keys[:, :1, :, :1]).all()
        found.append([int(value) // (number + 1) for value in layer.keys[0, 0, :, 0]])
    assert all(ids == found[0] for ids in found)
    return found[0]


def seats(rows: int = 4, tokens: int = 12) -> StaticKv:
    with torch.inference_mode():
        return StaticKv(rows, tokens, STATES, CPU, torch.float32)


def cache(*ids: int) -> KvCache:
    made = KvCache(STATES[0], 0)
    if ids:
        extend(made, list(ids))
    return made


def place(table: StaticKv, caches: list[KvCache], rows: int) -> list[int]:
    with torch.inference_mode():
        return table.assign(caches, rows)


@dataclass
class Room:
    """Two tables, and caches beside what each must hold."""

    tables: list[StaticKv] = field(default_factory=lambda: [seats(4, 12), seats(1, 30)])
    caches: list[tuple[KvCache, list[int]]] = field(default_factory=list)
    count: int = 0

    def new(self, rng: random.Random) -> None:
        self.caches.append((cache(), []))
        self.extend(rng)

    def extend(self, rng: random.Random) -> None:
        if self.caches:
            one, ids = rng.choice(self.caches)
            new = [self.count + n for n in range(1, rng.randrange(2, 6))]
            self.count += len(new)
            extend(one, new)
            ids += new

    def truncate(self, rng: random.Random) -> None:
        if self.caches:
            one, ids = rng.choice(self.caches)
            del ids[rng.randrange(len(ids) + 1) :]
            one.truncate(len(ids))

    def drop(self, rng: random.Random) -> None:
        if self.caches:
            self.caches.pop(rng.randrange(len(self.caches)))

    def fork(self, rng: random.Random) -> None:
        if self.caches:
            one, ids = rng.choice(self.caches)
            if ids:
                with torch.inference_mode():
                    self.caches.append((one.fork(1, len(ids) + 3), list(ids)))

    def place(self, rng: random.Random) -> None:
        """A group, as for a pass, and what that pass writes: a token each, and into whatever rows are free."""
        table = rng.choice(self.tables)
        fitting = [pair for pair in self.caches if len(pair[1]) < table.tokens and table.is_compatible(pair[0])]
        group = rng.sample(fitting, min(len(fitting), rng.randrange(1, table.rows + 1)))
        sizes = [size for size in (1, 2, 4) if len(group) <= size <= table.rows]
        if not group:
            return
        rows = rng.choice(sizes)
        places = place(table, [one for one, _ in group], rows)
        assert sorted(set(places)) == sorted(places), "each has a row of its own"
        assert max(places) < rows
        with torch.inference_mode():
            for number, (keys, values) in enumerate(table.layer_views(rows)):
                assert keys.shape == (rows, STATES[1], table.tokens + SPARE_TOKENS, STATES[2])
                for row in range(rows):
                    at, id_ = table.tokens, 999
                    if row in places:
                        at, id_ = len(group[places.index(row)][1]), self.count + 1 + row
                    keys[row, :, at], values[row, :, at] = float(id_ * (number + 1)), -float(id_ * (number + 1))
        for (one, ids), row in zip(group, places, strict=True):
            ids.append(self.count + 1 + row)
            one.set_length(len(ids))
        self.count += rows

    def leave(self, rng: random.Random) -> None:
        with torch.inference_mode():
            rng.choice(self.tables).release()


STEPS = ("new", "extend", "extend", "truncate", "place", "place", "place", "drop", "fork", "leave")


@settings(max_examples=150, deadline=None)
@given(st.lists(st.sampled_from(STEPS), min_size=5, max_size=40), st.integers(0, 9999))
def test_whatever_moves_every_cache_holds_what_it_was_given(steps: list[str], seed: int) -> None:
    rng, room = random.Random(seed), Room()
    for step in ("new", "new", *steps):
        getattr(room, step)(rng)
        for one, ids in room.caches:
            assert held(one) == ids, step


def mutant_stale(monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache takes a seat and finds what its last holder left."""
    exact = KvCache.attach_backing
    monkeypatch.setattr(KvCache, "attach_backing", lambda one, storages, _is_there=False: exact(one, storages, True))


def mutant_next_row(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pass writes into another's seat."""
    exact = StaticKv.assign
    monkeypatch.setattr(StaticKv, "assign", lambda table, caches, rows: exact(table, caches, rows)[::-1])


def mutant_half_exchanged(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two change places in the books alone."""

    def exchange(table: StaticKv, left: int, right: int) -> None:
        mine, its = table._holder(left), table._holder(right)
        table._holders[left] = table._holders[right] = None
        for one, row in ((mine, right), (its, left)):
            if one is not None:
                table._seat(one, row, is_copied=True)

    monkeypatch.setattr(StaticKv, "_exchange", exchange)


def mutant_two_in_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody makes way."""
    monkeypatch.setattr(StaticKv, "_vacate", lambda *_: None)


@pytest.mark.parametrize("mutant", [mutant_stale, mutant_next_row, mutant_half_exchanged, mutant_two_in_a_row])
def test_a_move_that_loses_something_is_found_out(mutant: object, monkeypatch: pytest.MonkeyPatch) -> None:
    forty_walks()
    mutant(monkeypatch)  # type: ignore[operator]
    with pytest.raises(AssertionError):
        forty_walks()


def forty_walks() -> None:
    for seed in range(40):
        rng, room = random.Random(seed), Room()
        for step in ("new", "new", "new", *rng.choices(STEPS, k=40)):
            getattr(room, step)(rng)
            assert all(held(one) == ids for one, ids in room.caches)


def test_one_that_sits_has_no_other_memory_and_gets_it_when_it_outgrows_the_seat() -> None:
    table, one = seats(), cache(1, 2, 3)
    assert one.bytes == 2 * 2 * GROWTH_TOKENS * STATES[1] * STATES[2] * 4
    assert place(table, [one], 1) == [0]
    assert one.is_view
    assert one.bytes == 0
    extend(one, list(range(4, 13)))
    assert one.is_view
    extend(one, [13])
    assert held(one) == list(range(1, 14))
    assert not one.is_view
    assert one.bytes > 0


def test_a_layer_that_outgrew_the_seat_takes_the_others_along() -> None:
    """As where a pass found no room in the middle."""
    table, one, other = seats(1), cache(*range(1, 13)), cache(7)
    place(table, [one], 1)
    with torch.inference_mode():
        one.update(told(13), -told(13), 0)
    one.truncate(12)
    assert not one.is_view
    place(table, [other], 1)
    extend(other, [8, 9])
    assert held(one) == list(range(1, 13))
    assert held(other) == [7, 8, 9]


def test_whoever_waited_longest_makes_way() -> None:
    table, some = seats(), [cache(n) for n in range(1, 6)]
    for one in some[:4]:
        place(table, [one], 4)
    place(table, [some[0]], 4)
    place(table, [some[4]], 4)
    assert [one.is_view for one in some] == [True, False, True, True, True]


def test_a_lone_one_comes_to_the_first_row_and_a_known_group_stays() -> None:
    table, some = seats(), [cache(n) for n in range(1, 5)]
    group = place(table, some, 4)
    assert place(table, some, 4) == group
    assert place(table, [some[2]], 1) == [0]
    assert all(one.is_view for one in some), "there is a row for each"
    assert [held(one) for one in some] == [[1], [2], [3], [4]]


def test_the_row_of_one_that_is_gone_is_free() -> None:
    table, one = seats(1), cache(1)
    place(table, [one], 1)
    del one
    gc.collect()
    assert table._holder(0) is None


def test_several_rows_or_another_type_do_not_suit() -> None:
    table, one = seats(), cache(1, 2)
    with torch.inference_mode():
        assert not table.is_compatible(one.fork(2, 8))
    wide = KvCache(STATES[0], 0)
    with torch.inference_mode():
        for layer in range(STATES[0]):
            wide.update(told(1).double(), told(1).double(), layer)
    assert not table.is_compatible(wide)
    assert not table.is_compatible(KvCache(STATES[0] + 1, 0))
    assert table.is_compatible(one)
    assert table.is_compatible(KvCache(STATES[0], 0))


def test_seats_take_no_more_than_a_share_of_what_is_free() -> None:
    token_bytes = 2 * 2 * 2 * 3 * 4
    a_row = token_bytes * (2048 + SPARE_TOKENS)

    def made(free_bytes: float) -> list[tuple[int, int]]:
        return [
            (table.rows, table.tokens)
            for table in allocate_static_kv(STATES, CPU, torch.float32, 8192, lambda: free_bytes)
        ]  # type: ignore[arg-type, return-value]

    assert made(1e12) == [(16, 2048), (1, 8192)]
    assert made(a_row * 5 / MAX_FREE_FRACTION) == [(4, 2048), (1, 8192)]
    assert made(a_row * 1 / MAX_FREE_FRACTION) == [(1, 2048)]
    assert made(0) == []
    assert [table.tokens for table in allocate_static_kv(STATES, CPU, torch.float32, 300, lambda: 1 << 40)] == [300]
    (one,) = allocate_static_kv(STATES, CPU, torch.float32, 300, lambda: 1 << 40)
    assert one.bytes == 16 * token_bytes * (300 + SPARE_TOKENS)
