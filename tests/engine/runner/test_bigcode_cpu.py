from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import manual_decoding
from starcoder_ls.engine.generation.loaded_model import LoadedModel
from starcoder_ls.engine.kv_cache.cache import KvCache
from starcoder_ls.engine.runner import bigcode_cpu

IDS = torch.randint(20, 600, (90,), generator=torch.Generator().manual_seed(3)).tolist()
DOUBLE = {"rtol": 0.0, "atol": 1e-9}


@pytest.fixture(params=["starcoder", "santacoder"])
def loaded(request: pytest.FixtureRequest, doubled: Callable[[Path], LoadedModel]) -> LoadedModel:
    found = doubled(request.getfixturevalue(request.param))
    if found.runner.cpu_pass is None:
        pytest.skip("this shape has no CPU pass")
    return found


def reference_logits(loaded: LoadedModel, rows: list[list[int]]) -> torch.Tensor:
    """transformers' own logits of the last token of each row."""
    with torch.inference_mode():
        logits: torch.Tensor = loaded.runner.model(torch.tensor(rows)).logits[:, -1]
    return logits


def test_only_starcoders_shape_has_a_cpu_pass(
    starcoder: Path, starcoder2: Path, llama: Path, doubled: Callable[[Path], LoadedModel]
) -> None:
    assert isinstance(doubled(starcoder).runner.cpu_pass, bigcode_cpu.BigCodeCpu)
    assert doubled(starcoder2).runner.cpu_pass is None
    assert doubled(llama).runner.cpu_pass is None


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cuts=st.lists(st.integers(1, 40), min_size=1, max_size=6), rewind=st.integers(0, 30))
def test_logits_equal_transformers_for_any_chunks(loaded: LoadedModel, cuts: list[int], rewind: int) -> None:
    cache = KvCache(loaded.runner.layers, 8)
    for start, end in manual_decoding.chunk_ranges(IDS, cuts, rewind, cache):
        logits = manual_decoding.forward(loaded.runner, [IDS[start:end]], cache)
        torch.testing.assert_close(logits, reference_logits(loaded, [IDS[:end]]), **DOUBLE)


@pytest.mark.parametrize("time", [1, 3, 40])
def test_rows_of_one_cache_are_as_each_alone(loaded: LoadedModel, time: int) -> None:
    cache = KvCache(loaded.runner.layers, 16)
    manual_decoding.forward(loaded.runner, [IDS[:20]], cache)
    tails = [IDS[20 + 7 * row :][:time] for row in range(3)]
    together = manual_decoding.forward(loaded.runner, tails, cache.fork(3, 64))
    torch.testing.assert_close(together, reference_logits(loaded, [IDS[:20] + tail for tail in tails]), **DOUBLE)


def mutant_position_plus_one(cpu_pass: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    shifted = torch.roll(cpu_pass._body.wpe.weight.data, 1, 0)
    monkeypatch.setattr(cpu_pass._body.wpe, "weight", torch.nn.Parameter(shifted, requires_grad=False))


def mutant_mask_plus_one(cpu_pass: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    exact = cpu_pass._causal_mask
    monkeypatch.setattr(cpu_pass, "_causal_mask", lambda time, start, like: exact(time, start, like).roll(1, 1))


def mutant_stale_keys(_reader: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(KvCache, "truncate", lambda _cache, _length: None)


@pytest.mark.parametrize("mutant", [mutant_position_plus_one, mutant_mask_plus_one, mutant_stale_keys])
def test_mutant_of_the_cpu_pass_changes_logits(
    mutant: Callable[[Any, pytest.MonkeyPatch], None], loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = reference_logits(loaded, [IDS[:40]])
    mutant(loaded.runner.cpu_pass, monkeypatch)
    cache = KvCache(loaded.runner.layers, 64)
    manual_decoding.forward(loaded.runner, [IDS[50:80]], cache)
    cache.truncate(0)
    logits = manual_decoding.forward(loaded.runner, [IDS[:40]], cache)
    assert not torch.allclose(logits, expected, **DOUBLE)
