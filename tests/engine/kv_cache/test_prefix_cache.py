from __future__ import annotations

import contextlib

import pytest
import torch

from starcoder_ls.engine.kv_cache import prefix_cache as prefix_cache_module
from starcoder_ls.engine.kv_cache.prefix_cache import (
    CLIENT_TIMEOUT_S,
    SLOTS_PER_CLIENT,
    PrefixCache,
    PrefixSlot,
    common_prefix_length,
)


def use(prefix_cache: PrefixCache, prompt: list[int], is_prefetch: bool = False) -> tuple[PrefixSlot, int]:
    """Acquire a slot and append the rest of ``prompt`` as a prefill does; return it and the number of reused tokens."""
    with prefix_cache.acquire(prompt, len(prompt), is_prefetch=is_prefetch) as slot, torch.inference_mode():
        reused = len(slot.ids)
        assert slot.ids == prompt[:reused]
        assert slot.cache.length == reused
        new_states = torch.zeros(1, 1, len(prompt) - reused, 2)
        slot.cache.update(new_states, new_states, 0)
        slot.extend(prompt[reused:])
    return slot, reused


def test_common_prefix_length_counts_equal_ids() -> None:
    assert common_prefix_length([1, 2, 3], [1, 2, 4]) == 2
    assert common_prefix_length([1, 2], [1, 2, 4]) == 2
    assert common_prefix_length([], [1]) == 0


def test_prefix_cache_reuses_slot_except_last_token() -> None:
    prefix_cache = PrefixCache(1)
    assert use(prefix_cache, [1, 2, 3, 4])[1] == 0
    assert use(prefix_cache, [1, 2, 3, 4])[1] == 3
    assert use(prefix_cache, [1, 2, 9, 9, 9])[1] == 2


def test_other_document_gets_its_own_slot() -> None:
    prefix_cache = PrefixCache(1)
    first, _ = use(prefix_cache, [1, *range(10, 30)])
    second, _ = use(prefix_cache, [1, *range(40, 60)])
    assert second is not first
    assert use(prefix_cache, [1, *range(10, 31)])[1] == 21


def test_oldest_slot_is_evicted_beyond_limit() -> None:
    prefix_cache = PrefixCache(1)
    for document in range(SLOTS_PER_CLIENT + 1):
        use(prefix_cache, [1, *range(100 * document, 100 * document + 20)])
    assert use(prefix_cache, [1, *range(0, 20)])[1] <= 1
    assert use(prefix_cache, [1, *range(100 * SLOTS_PER_CLIENT, 100 * SLOTS_PER_CLIENT + 20)])[1] == 20


def test_acquired_slot_is_not_shared() -> None:
    prefix_cache = PrefixCache(1)
    use(prefix_cache, [1, 2, 3, 4])
    with prefix_cache.acquire([1, 2, 3, 4], 4) as first, prefix_cache.acquire([1, 2, 3, 4], 4) as second:
        assert first is not second
        assert second.ids == []


def test_slot_is_dropped_after_exception() -> None:
    prefix_cache = PrefixCache(1)
    use(prefix_cache, [1, 2, 3, 4])
    with contextlib.suppress(RuntimeError), prefix_cache.acquire([1, 2, 3, 4], 4):
        raise RuntimeError("in a forward pass")
    assert prefix_cache.bytes == 0
    assert use(prefix_cache, [1, 2, 3, 4])[1] == 0


def test_truncate_shortens_ids_before_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    prefix_cache = PrefixCache(1)
    slot, _ = use(prefix_cache, [1, 2, 3, 4])

    def interrupted(_length: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(slot.cache, "truncate", interrupted)
    with pytest.raises(KeyboardInterrupt):
        slot.truncate(2)
    assert slot.ids == [1, 2]


def test_useless_prefetches_evict_each_other_only() -> None:
    prefix_cache = PrefixCache(1)
    current = [1, *range(10, 60)]
    use(prefix_cache, current)
    for number in range(3 * SLOTS_PER_CLIENT):
        use(prefix_cache, [1, *range(1000 * (number + 1), 1000 * (number + 1) + 50)], is_prefetch=True)
    assert use(prefix_cache, current)[1] == len(current) - 1


def test_prefetched_slot_is_reused() -> None:
    prefix_cache = PrefixCache(1)
    use(prefix_cache, [1, *range(10, 60)], is_prefetch=True)
    assert use(prefix_cache, [1, *range(10, 62)])[1] == 51


def test_contains_requires_whole_prompt_in_slot() -> None:
    prefix_cache = PrefixCache(1)
    use(prefix_cache, [1, 2, 3, 4])
    assert prefix_cache.contains([1, 2, 3])
    assert not prefix_cache.contains([1, 2, 3, 4, 5])
    assert not prefix_cache.contains([1, 2, 9])


def test_active_clients_have_slots_and_inactive_clients_have_none() -> None:
    now_s = [10_000.0]
    prefix_cache = PrefixCache(1, clock=lambda: now_s[0])

    def reused_tokens(client: str, document: int) -> int:
        prompt = [1, *range(1000 * document, 1000 * document + 20)]
        slot, reused = use(prefix_cache, prompt)
        slot.client = client
        now_s[0] += 1
        return reused

    for document in range(1, 9):
        reused_tokens(f"client {document}", document)
    assert [reused_tokens(f"client {document}", document) for document in range(1, 9)] == [20] * 8
    now_s[0] += CLIENT_TIMEOUT_S
    for document in range(20, 30):
        reused_tokens("client 1", document)
    assert len(prefix_cache._idle) == SLOTS_PER_CLIENT


def test_slots_of_many_clients_stay_within_memory_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prefix_cache_module, "MAX_IDLE_BYTES", 1)
    prefix_cache = PrefixCache(1)
    for client in range(3 * SLOTS_PER_CLIENT):
        slot, _ = use(prefix_cache, [1, *range(100 * client, 100 * client + 20)])
        slot.client = str(client)
    assert len(prefix_cache._idle) == SLOTS_PER_CLIENT
