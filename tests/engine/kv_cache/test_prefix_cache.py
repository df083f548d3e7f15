from __future__ import annotations

import contextlib

import pytest
import torch

from starcoder_ls.engine.kv_cache import prefix_cache as slots_module
from starcoder_ls.engine.kv_cache.prefix_cache import (
    CLIENT_TIMEOUT_S,
    SLOTS_PER_CLIENT,
    PrefixCache,
    PrefixSlot,
    common_prefix_length,
)


def use(slots: PrefixCache, prompt: list[int], is_prefetch: bool = False) -> tuple[PrefixSlot, int]:
    """Lease, fill the rest as a prefill would; the slot and how much was reused."""
    with slots.acquire(prompt, len(prompt), is_prefetch=is_prefetch) as slot, torch.inference_mode():
        reused = len(slot.ids)
        assert slot.ids == prompt[:reused]
        assert slot.cache.length == reused
        fresh = torch.zeros(1, 1, len(prompt) - reused, 2)
        slot.cache.update(fresh, fresh, 0)
        slot.extend(prompt[reused:])
    return slot, reused


def test_common_prefix() -> None:
    assert common_prefix_length([1, 2, 3], [1, 2, 4]) == 2
    assert common_prefix_length([1, 2], [1, 2, 4]) == 2
    assert common_prefix_length([], [1]) == 0


def test_slot_is_reused_but_for_the_last_token() -> None:
    slots = PrefixCache(1)
    assert use(slots, [1, 2, 3, 4])[1] == 0
    assert use(slots, [1, 2, 3, 4])[1] == 3
    assert use(slots, [1, 2, 9, 9, 9])[1] == 2


def test_another_document_does_not_take_the_first_ones_slot() -> None:
    slots = PrefixCache(1)
    first, _ = use(slots, [1, *range(10, 30)])
    second, _ = use(slots, [1, *range(40, 60)])
    assert second is not first
    assert use(slots, [1, *range(10, 31)])[1] == 21


def test_slots_are_few_and_the_oldest_goes() -> None:
    slots = PrefixCache(1)
    for document in range(SLOTS_PER_CLIENT + 1):
        use(slots, [1, *range(100 * document, 100 * document + 20)])
    assert use(slots, [1, *range(0, 20)])[1] <= 1
    assert use(slots, [1, *range(100 * SLOTS_PER_CLIENT, 100 * SLOTS_PER_CLIENT + 20)])[1] == 20


def test_slot_in_use_is_nobody_elses() -> None:
    slots = PrefixCache(1)
    use(slots, [1, 2, 3, 4])
    with slots.acquire([1, 2, 3, 4], 4) as mine, slots.acquire([1, 2, 3, 4], 4) as other:
        assert mine is not other
        assert other.ids == []


def test_slot_is_dropped_after_a_failure() -> None:
    slots = PrefixCache(1)
    use(slots, [1, 2, 3, 4])
    with contextlib.suppress(RuntimeError), slots.acquire([1, 2, 3, 4], 4):
        raise RuntimeError("in the middle of a forward pass")
    assert slots.bytes == 0
    assert use(slots, [1, 2, 3, 4])[1] == 0


def test_rewinding_shortens_the_claim_before_the_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    slots = PrefixCache(1)
    slot, _ = use(slots, [1, 2, 3, 4])

    def interrupted(_length: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(slot.cache, "truncate", interrupted)
    with pytest.raises(KeyboardInterrupt):
        slot.truncate(2)
    assert slot.ids == [1, 2]


def test_wrong_guesses_drive_out_each_other_and_not_what_is_in_use() -> None:
    slots = PrefixCache(1)
    live = [1, *range(10, 60)]
    use(slots, live)
    for guess in range(3 * SLOTS_PER_CLIENT):
        use(slots, [1, *range(1000 * (guess + 1), 1000 * (guess + 1) + 50)], is_prefetch=True)
    assert use(slots, live)[1] == len(live) - 1


def test_a_right_guess_is_used() -> None:
    slots = PrefixCache(1)
    use(slots, [1, *range(10, 60)], is_prefetch=True)
    assert use(slots, [1, *range(10, 62)])[1] == 51


def test_prompt_that_a_slot_holds_to_its_end_is_held() -> None:
    slots = PrefixCache(1)
    use(slots, [1, 2, 3, 4])
    assert slots.contains([1, 2, 3])
    assert not slots.contains([1, 2, 3, 4, 5])
    assert not slots.contains([1, 2, 9])


def test_each_client_has_its_slots_and_one_that_left_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    slots, now_s = PrefixCache(1), [10_000.0]
    monkeypatch.setattr("time.monotonic", lambda: now_s[0])

    def used_by(client: str, document: int) -> int:
        prompt = [1, *range(1000 * document, 1000 * document + 20)]
        slot, reused = use(slots, prompt)
        slot.client = client
        now_s[0] += 1
        return reused

    for document in range(1, 9):
        used_by(f"client {document}", document)
    assert [used_by(f"client {document}", document) for document in range(1, 9)] == [20] * 8
    now_s[0] += CLIENT_TIMEOUT_S
    for document in range(20, 30):
        used_by("client 1", document)
    assert len(slots._idle) == SLOTS_PER_CLIENT


def test_slots_of_many_clients_stay_within_their_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slots_module, "MAX_IDLE_BYTES", 1)
    slots = PrefixCache(1)
    for client in range(3 * SLOTS_PER_CLIENT):
        slot, _ = use(slots, [1, *range(100 * client, 100 * client + 20)])
        slot.client = str(client)
    assert len(slots._idle) == SLOTS_PER_CLIENT
