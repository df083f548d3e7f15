from __future__ import annotations

import contextlib

import pytest
import torch

from starcoder_ls.engine.slots import KEPT, Slot, Slots, common_prefix


def use(slots: Slots, prompt: list[int]) -> tuple[Slot, int]:
    """Lease, fill the rest as a prefill would; the slot and how much was reused."""
    with slots.lease(prompt, len(prompt)) as slot, torch.inference_mode():
        reused = len(slot.ids)
        assert slot.ids == prompt[:reused]
        assert slot.cache.length == reused
        fresh = torch.zeros(1, 1, len(prompt) - reused, 2)
        slot.cache.update(fresh, fresh, 0)
        slot.extend(prompt[reused:])
    return slot, reused


def test_common_prefix() -> None:
    assert common_prefix([1, 2, 3], [1, 2, 4]) == 2
    assert common_prefix([1, 2], [1, 2, 4]) == 2
    assert common_prefix([], [1]) == 0


def test_slot_is_reused_but_for_the_last_token() -> None:
    slots = Slots(1)
    assert use(slots, [1, 2, 3, 4])[1] == 0
    assert use(slots, [1, 2, 3, 4])[1] == 3
    assert use(slots, [1, 2, 9, 9, 9])[1] == 2


def test_another_document_does_not_take_the_first_ones_slot() -> None:
    slots = Slots(1)
    first, _ = use(slots, [1, *range(10, 30)])
    second, _ = use(slots, [1, *range(40, 60)])
    assert second is not first
    assert use(slots, [1, *range(10, 31)])[1] == 21


def test_slots_are_few_and_the_oldest_goes() -> None:
    slots = Slots(1)
    for document in range(KEPT + 1):
        use(slots, [1, *range(100 * document, 100 * document + 20)])
    assert use(slots, [1, *range(0, 20)])[1] <= 1
    assert use(slots, [1, *range(100 * KEPT, 100 * KEPT + 20)])[1] == 20


def test_slot_in_use_is_nobody_elses() -> None:
    slots = Slots(1)
    use(slots, [1, 2, 3, 4])
    with slots.lease([1, 2, 3, 4], 4) as mine, slots.lease([1, 2, 3, 4], 4) as other:
        assert mine is not other
        assert other.ids == []


def test_slot_is_dropped_after_a_failure() -> None:
    slots = Slots(1)
    use(slots, [1, 2, 3, 4])
    with contextlib.suppress(RuntimeError), slots.lease([1, 2, 3, 4], 4):
        raise RuntimeError("in the middle of a forward pass")
    assert slots.bytes == 0
    assert use(slots, [1, 2, 3, 4])[1] == 0


def test_rewinding_shortens_the_claim_before_the_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    slots = Slots(1)
    slot, _ = use(slots, [1, 2, 3, 4])

    def interrupted(_length: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(slot.cache, "truncate", interrupted)
    with pytest.raises(KeyboardInterrupt):
        slot.rewind(2)
    assert slot.ids == [1, 2]
