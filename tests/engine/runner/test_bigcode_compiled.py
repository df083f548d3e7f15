"""The compiled pass has the logits of transformers, and is bit-equal to itself for any chunks, batches and threads."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st

import adapter_fixtures
import checkpoints
import manual_decoding
from starcoder_ls.engine.assembly import load
from starcoder_ls.engine.generation.loaded_model import LoadedModel
from starcoder_ls.engine.kv_cache.cache import KvCache
from starcoder_ls.engine.runner import bigcode_compiled, bigcode_cpu, packed_linear
from starcoder_ls.settings import Adapter, Model

pytestmark = pytest.mark.skipif(not packed_linear.is_possible(), reason="no kernels of our own on this processor")

IDS = torch.randint(20, 600, (200,), generator=torch.Generator().manual_seed(3)).tolist()
SIZES = {
    "two heads of 64": {"n_embd": 128, "n_head": 2, "n_inner": 512},
    "three heads of 128": {"n_embd": 384, "n_head": 3, "n_inner": 700},
}
CLOSE = 1e-3
"""In units of the logits' standard deviation: both compute in float32 and sum in different orders."""


def nothing(_fraction: float, _sentence: str) -> None:
    """Ignores progress."""


@pytest.fixture(scope="module", params=[*SIZES, "bfloat16"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    sizes = SIZES.get(request.param, SIZES["two heads of 64"])
    folder = checkpoints.gpt_bigcode(tmp_path_factory.mktemp("native") / "base", **sizes)
    stored = torch.bfloat16 if request.param == "bfloat16" else torch.float16
    transformers.GPTBigCodeForCausalLM.from_pretrained(folder, dtype=stored).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def loaded(folder: Path) -> LoadedModel:
    return load(Model(name=str(folder), device="cpu"), nothing)


@pytest.fixture(scope="module")
def exact(folder: Path) -> Any:
    """transformers' own model of the same weights, in float32."""
    return transformers.GPTBigCodeForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


def reference_logits(exact: Any, ids: list[int]) -> torch.Tensor:
    with torch.inference_mode():
        logits: torch.Tensor = exact(torch.tensor([ids])).logits[0]
    return logits


def distance(found: torch.Tensor, expected: torch.Tensor) -> float:
    return float((found - expected).abs().max() / expected.std())


def test_packed_starcoder_is_compiled_and_float32_is_not(folder: Path, loaded: LoadedModel) -> None:
    assert isinstance(loaded.runner.compiled_pass, bigcode_compiled.CompiledBigCode)
    wide = load(Model(name=str(folder), device="cpu", dtype="float32"), nothing)
    assert isinstance(wide.runner.cpu_pass, bigcode_cpu.BigCodeCpu)
    assert wide.runner.compiled_pass is None


@settings(max_examples=20, deadline=None)
@given(cuts=st.lists(st.integers(1, 90), min_size=1, max_size=6), rewind=st.integers(0, 60))
def test_logits_equal_transformers_for_any_chunks(
    loaded: LoadedModel, exact: Any, cuts: list[int], rewind: int
) -> None:
    expected = reference_logits(exact, IDS)
    cache = KvCache(loaded.runner.layers, 8)
    for start, end in manual_decoding.chunk_ranges(IDS, cuts, rewind, cache):
        logits = manual_decoding.forward_all(loaded.runner, IDS[start:end], cache)
        assert distance(logits, expected[start:end]) < CLOSE


@settings(max_examples=20, deadline=None)
@given(cuts=st.lists(st.integers(1, 90), min_size=1, max_size=6), threads=st.sampled_from([1, 2, 3]))
def test_logits_are_bit_equal_for_any_chunks_and_threads(loaded: LoadedModel, cuts: list[int], threads: int) -> None:
    """So neither the cache nor a draft can change an answer."""
    loaded.runner.threads = 1
    expected = manual_decoding.forward_all(loaded.runner, IDS, KvCache(loaded.runner.layers, 256))
    cache, start = KvCache(loaded.runner.layers, 8), 0
    loaded.runner.threads = threads
    try:
        for size in cuts:
            if part := IDS[start : start + size]:
                logits = manual_decoding.forward_all(loaded.runner, part, cache)
                assert torch.equal(logits, expected[start : start + len(part)])
            start += len(part)
    finally:
        loaded.runner.threads = 1


@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_batched_caches_are_bit_equal_to_each_alone(loaded: LoadedModel, data: st.DataObject) -> None:
    """Also caches with a row for each candidate."""
    several, alone = [], []
    for _ in range(data.draw(st.integers(1, 5))):
        cached, rows, time = (data.draw(st.integers(1, most)) for most in (60, 3, 7))
        first = data.draw(st.integers(0, 100))
        tails = [IDS[(first + 11 * row) % 150 :][:time] for row in range(rows)]
        caches = []
        for _ in range(2):
            cache = KvCache(loaded.runner.layers, 8)
            manual_decoding.forward(loaded.runner, [IDS[first : first + cached]], cache)
            caches.append(cache if rows == 1 else cache.fork(rows, 80))
        several.append((torch.tensor(tails), caches[0]))
        alone.append((torch.tensor(tails), caches[1]))
    compiled_pass = loaded.runner.compiled_pass
    assert compiled_pass is not None
    with torch.inference_mode():
        expected = [compiled_pass.hidden_states([single])[0] for single in alone]
        found = compiled_pass.hidden_states(several)
    assert all(map(torch.equal, found, expected))


@pytest.mark.parametrize("method", ["lora", "parallel", "prefix"])
def test_adapter_changes_logits_and_base_is_unchanged_after(
    method: str, folder: Path, tmp_path: Path, exact: Any
) -> None:
    path = adapter_fixtures.save_adapter_of_each_method(folder, tmp_path)[method]
    loaded = load(Model(name=str(folder), device="cpu"), nothing, {"mine": Adapter(path=str(path))})
    adapter = loaded.adapters.find("mine")
    assert adapter is not None
    before = manual_decoding.forward_all(loaded.runner, IDS[:40], KvCache(loaded.runner.layers, 64))
    cache = manual_decoding.cache_with_virtual_tokens(loaded, adapter, 128)
    with_it = manual_decoding.forward_all(loaded.runner, IDS[:40], cache, adapter)
    assert torch.equal(manual_decoding.forward_all(loaded.runner, IDS[:40], KvCache(loaded.runner.layers, 64)), before)
    assert distance(before, reference_logits(exact, IDS[:40])) < CLOSE
    assert distance(with_it, before) > 0.1


def test_unknown_token_or_position_raises_index_error(loaded: LoadedModel) -> None:
    for ids in ([640], [-1], [20] * 257):
        with pytest.raises(IndexError, match=r"no token|positions"):
            manual_decoding.forward(loaded.runner, [ids], KvCache(loaded.runner.layers, 8))


def mutant_position_plus_one(compiled_pass: Any, _monkeypatch: pytest.MonkeyPatch) -> None:
    table, bits, *positions = compiled_pass._embeddings
    compiled_pass._embeddings = table, bits, positions[0] + compiled_pass._width * abs(positions[1]) // 8, positions[1]


def mutant_key_written_one_too_early(compiled_pass: Any, _monkeypatch: pytest.MonkeyPatch) -> None:
    """New keys and values are written one position too early."""
    forward = compiled_pass._forward

    def shifted(*arguments: Any) -> None:
        sequences = arguments[10].copy()
        sequences[:, 2] -= sequences[:, 2] > 0
        forward(*arguments[:10], sequences, *arguments[11:])

    compiled_pass._forward = shifted


def mutant_stale_keys(_reader: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(KvCache, "truncate", lambda _cache, _length: None)


@pytest.mark.parametrize("mutant", [mutant_position_plus_one, mutant_key_written_one_too_early, mutant_stale_keys])
def test_mutant_of_the_compiled_pass_changes_logits(
    mutant: Callable[[Any, pytest.MonkeyPatch], None], folder: Path, exact: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = load(Model(name=str(folder), device="cpu"), nothing)
    mutant(loaded.runner.compiled_pass, monkeypatch)
    cache = KvCache(loaded.runner.layers, 128)
    manual_decoding.forward(loaded.runner, [IDS[50:80]], cache)
    cache.truncate(0)
    manual_decoding.forward(loaded.runner, [IDS[:1]], cache)
    logits = manual_decoding.forward_all(loaded.runner, IDS[1:40], cache)
    assert distance(logits, reference_logits(exact, IDS[:40])[1:]) > 100 * CLOSE
