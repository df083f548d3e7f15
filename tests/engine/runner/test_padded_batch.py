from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import manual_decoding
from starcoder_ls.engine import model_shape
from starcoder_ls.engine.generation.loaded_model import LoadedModel
from starcoder_ls.engine.kv_cache.cache import KvCache
from starcoder_ls.engine.runner import padded_batch

FAMILIES = ["starcoder", "santacoder", "starcoder2", "llama", "qwen2"]
IDS = torch.randint(20, 600, (4, 60), generator=torch.Generator().manual_seed(7)).tolist()
SHAPES = ((30, 1), (9, 1), (17, 4), (1, 2))  # tokens read, new tokens


@pytest.fixture(params=FAMILIES)
def loaded(request: pytest.FixtureRequest, doubled: Callable[[Path], LoadedModel]) -> LoadedModel:
    """A model whose passes run through its own forward, like StarCoder's on a GPU."""
    found = doubled(request.getfixturevalue(request.param))
    manual_decoding.use_transformers_forward(found.runner)
    return found


def caches(loaded: LoadedModel) -> list[KvCache]:
    """Caches with stale keys and values after their tokens."""
    filled = []
    for ids, (read, _) in zip(IDS, SHAPES, strict=True):
        cache = KvCache(loaded.runner.layers, 8)
        manual_decoding.read(loaded.runner, [ids[:read] + IDS[0][:9]], cache)
        cache.truncate(read)
        filled.append(cache)
    return filled


def largest_difference(loaded: LoadedModel) -> float:
    """Of the hidden states from those of transformers for each whole sequence."""
    parts = [[ids[read : read + new]] for ids, (read, new) in zip(IDS, SHAPES, strict=True)]
    with torch.inference_mode():
        inputs = [(torch.tensor(rows), cache) for rows, cache in zip(parts, caches(loaded), strict=True)]
        together = padded_batch.hidden_states(loaded.runner.model, inputs)
    largest = 0.0
    for ids, (read, new), hidden in zip(IDS, SHAPES, together, strict=True):
        with torch.inference_mode():
            whole = loaded.runner.model.base_model(torch.tensor([ids[: read + new]])).last_hidden_state
        assert hidden.shape == (1, new, whole.shape[2])
        largest = max(largest, float((hidden[0] - whole[0, read:]).abs().max()))
    return largest


def test_each_row_agrees_with_transformers(loaded: LoadedModel) -> None:
    """Also beyond StarCoder2's window of 16 tokens."""
    assert largest_difference(loaded) < 1e-9


def mutant_position_plus_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Positions of the new tokens are one too high and the mask is right; with RoPE only distances count."""
    exact = padded_batch._mask

    def mask(positions: torch.Tensor, end: int, window: int | None) -> torch.Tensor:
        right = exact(positions, end, window)
        positions += 1
        return right

    monkeypatch.setattr(padded_batch, "_mask", mask)


def mutant_mask_plus_one(monkeypatch: pytest.MonkeyPatch) -> None:
    exact = padded_batch._mask
    monkeypatch.setattr(padded_batch, "_mask", lambda positions, end, window: exact(positions + 1, end, window))


def mutant_mask_minus_one(monkeypatch: pytest.MonkeyPatch) -> None:
    exact = padded_batch._mask
    monkeypatch.setattr(padded_batch, "_mask", lambda positions, *rest: exact((positions - 1).clamp_min(0), *rest))


def mutant_stale_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(KvCache, "truncate", lambda _cache, _length: None)


def mutant_cache_of_neighbor(monkeypatch: pytest.MonkeyPatch) -> None:
    exact = padded_batch._Layer.__init__
    monkeypatch.setattr(
        padded_batch._Layer, "__init__", lambda layer, layers, parts: exact(layer, [*layers[1:], layers[0]], parts)
    )


@pytest.mark.parametrize(
    "mutant",
    [
        mutant_position_plus_one,
        mutant_mask_plus_one,
        mutant_mask_minus_one,
        mutant_stale_keys,
        mutant_cache_of_neighbor,
    ],
)
def test_mutant_of_the_padded_pass_changes_hidden_states(
    mutant: Callable[[pytest.MonkeyPatch], None], loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    mutant(monkeypatch)
    try:
        difference = largest_difference(loaded)
    except (RuntimeError, IndexError, AssertionError):
        return  # shapes that do not fit: it shows
    assert difference > 1e-3


def test_mutant_with_a_longer_window_changes_hidden_states(
    starcoder2: Path, doubled: Callable[[Path], LoadedModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model_shape, "attention_window", lambda config: config.sliding_window + 1)
    assert largest_difference(doubled(starcoder2)) > 1e-3


@pytest.mark.parametrize(
    "change",
    [
        {"layer_types": ["full_attention", "sliding_attention"]},
        {"layer_types": ["chunked_attention"] * 2},
        {"_attn_implementation_internal": "flash_attention_2"},
    ],
)
def test_models_that_need_several_masks_are_not_supported(
    change: dict[str, Any], qwen2: Path, doubled: Callable[[Path], LoadedModel]
) -> None:
    loaded = doubled(qwen2)
    assert padded_batch.supports(loaded.runner.model)
    for name, value in change.items():
        vars(loaded.runner.model.config)[name] = value
    assert not padded_batch.supports(loaded.runner.model)


def test_models_on_several_devices_are_not_supported(qwen2: Path, doubled: Callable[[Path], LoadedModel]) -> None:
    loaded = doubled(qwen2)
    loaded.runner.model.get_output_embeddings().to("meta")
    assert not padded_batch.supports(loaded.runner.model)
