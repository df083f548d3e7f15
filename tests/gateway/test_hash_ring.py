from __future__ import annotations

import statistics

from hypothesis import given
from hypothesis import strategies as st

from starcoder_ls.gateway.hash_ring import MIN_BOUND, HashRing

NAMES = [f"http://replica-{number}:8000" for number in range(5)]
KEYS = [f"user{number % 50}\ndocument{number}" for number in range(2000)]


def owners(names: list[str]) -> dict[str, str]:
    ring = HashRing(names)
    return {key: next(ring.in_order(key)) for key in KEYS}


def test_removed_replica_moves_only_its_own_keys() -> None:
    before, after = owners(NAMES), owners(NAMES[1:])
    assert {key for key in KEYS if before[key] != after[key]} == {key for key in KEYS if before[key] == NAMES[0]}


def test_shares_are_about_equal() -> None:
    counts = [list(owners(NAMES).values()).count(name) for name in NAMES]
    assert statistics.stdev(counts) / statistics.mean(counts) < 0.25


def test_order_names_each_replica_once() -> None:
    assert sorted(HashRing(NAMES).in_order("key")) == sorted(NAMES)


@given(st.lists(st.one_of(st.none(), st.integers(0, 20)), min_size=5, max_size=5), st.floats(1.01, 3))
def test_no_replica_is_chosen_above_the_bound(loads: list[int | None], factor: float) -> None:
    load_of = dict(zip(NAMES, loads, strict=True))
    chosen = HashRing(NAMES).choose("key", load_of.__getitem__, factor)
    assert set(chosen) == {name for name, load in load_of.items() if load is not None}
    if chosen:
        known = [load for load in loads if load is not None]
        bound = max(factor * (sum(known) + 1) / len(known) + 1, MIN_BOUND)
        assert (load_of[chosen[0]] or 0) < bound


def test_idle_replicas_are_chosen_by_the_ring_alone() -> None:
    ring = HashRing(NAMES)
    assert all(ring.choose(key, lambda _: 0, 1.25) == list(ring.in_order(key)) for key in KEYS[:50])


def test_replica_with_few_requests_keeps_its_documents() -> None:
    ring, idle = HashRing(NAMES), dict.fromkeys(NAMES, 0)
    first, second, *_ = ring.in_order("key")
    assert ring.choose("key", (idle | {first: MIN_BOUND - 1}).__getitem__, 1.25)[0] == first
    assert ring.choose("key", (idle | {first: MIN_BOUND}).__getitem__, 1.25)[0] == second


def test_documents_that_ask_at_the_same_time_find_their_prompts() -> None:
    """12 documents ask two replicas four times each, as fast as they are answered."""
    ring, load = HashRing(NAMES[:2]), dict.fromkeys(NAMES[:2], 0)
    waiting = [(f"document-{number}", "") for number in range(12)]
    moved = 0
    for _ in range(48):
        key, before = waiting.pop(0)
        if before:
            load[before] -= 1
        chosen = ring.choose(key, load.__getitem__, 1.25)[0]
        load[chosen] += 1
        moved += before not in ("", chosen)
        waiting.append((key, chosen))
    assert moved == 0
