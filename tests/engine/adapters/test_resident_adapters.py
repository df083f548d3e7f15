"""Several adapters on one base: golden logits, switches, and interleaved requests."""

from __future__ import annotations

import asyncio
import json
import random
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import adapter_fixtures
import checkpoints
import manual_decoding
from starcoder_ls.engine.adapters import resident_adapters, virtual_tokens
from starcoder_ls.engine.adapters.resident_adapters import ResidentAdapter, ResidentAdapters
from starcoder_ls.engine.assembly import load
from starcoder_ls.engine.generation.loaded_model import LoadedModel
from starcoder_ls.engine.generation.request_generation import GenerationState, generate_alone
from starcoder_ls.engine.kv_cache.cache import KvCache
from starcoder_ls.engine.kv_cache.prefix_cache import PrefixCache
from starcoder_ls.engine.loading.progress import ignore_progress
from starcoder_ls.generation import Phase, Request
from starcoder_ls.settings import Adapter, Model

TEXT = "def wrap(text, width=70):\n    lines = text.split()\n    return fill(lines"

# The base's logits (standard deviation 1.2) differ by 2.6e-6 between two versions of transformers and torch; those of
# the adapters by at most 3.1e-6. A wrong formula causes differences above 1e-2.
FP32_TOLERANCE = 1e-5
# The relative rounding error of the residual stream is 2 ** -9 in bfloat16 and 2 ** -12 in float16. The transformers of
# 2023 summed the three layers in another order, and the base's logits alone differ by 0.05 and 0.03.
HALF_TOLERANCE = {"bfloat16": 0.12, "float16": 0.05}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return adapter_fixtures.copy_golden_base(tmp_path_factory.mktemp("golden") / "base")


def load_with_golden_adapters(base: Path, dtype: str = "float32") -> LoadedModel:
    adapters = {name: Adapter(path=str(adapter_fixtures.GOLDEN / name)) for name in adapter_fixtures.GOLDEN_NAMES}
    loaded = load(Model(name=str(base), device="cpu", dtype=dtype), ignore_progress, adapters)  # type: ignore[arg-type]
    assert loaded.message == ""
    return loaded


@pytest.fixture(scope="module")
def loaded(base: Path) -> LoadedModel:
    return load_with_golden_adapters(base)


def logits(loaded: LoadedModel, name: str | None, ids: torch.Tensor) -> torch.Tensor:
    """[rows, time, vocabulary] of the adapter, by the forward pass of transformers."""
    adapter = loaded.adapters.find(name)
    loaded.adapters.activate(adapter)
    with torch.inference_mode():
        rows = []
        for row in ids:
            cache = KvCache(loaded.runner.layers, 0)
            if adapter is not None and adapter.virtual_tokens is not None:
                adapter.virtual_tokens.write(loaded.runner.model, cache)
            rows.append(loaded.runner.model(input_ids=row[None], past_key_values=cache, use_cache=True).logits[0])
        result: torch.Tensor = torch.stack(rows).float()
    return result


def golden_logits(name: str, dtype: str) -> torch.Tensor:
    """[rows, time, vocabulary]; the positions of P-Tuning's virtual tokens are left out."""
    return adapter_fixtures.load_golden_tensors()[f"{name}.logits.{dtype}"].float()[:, -12:]


def test_golden_adapters_give_their_logits_in_any_order(loaded: LoadedModel) -> None:
    ids = adapter_fixtures.load_golden_tensors()["input_ids"]
    order = [*adapter_fixtures.GOLDEN_NAMES, None] * 3
    random.Random(1).shuffle(order)
    for name in order:
        expected = golden_logits(name or "base", "fp32")
        assert (logits(loaded, name, ids) - expected).abs().max() <= FP32_TOLERANCE, name
    assert {adapter.name for adapter in loaded.adapters} == set(adapter_fixtures.GOLDEN_NAMES)


@pytest.mark.parametrize(("dtype", "short"), [("bfloat16", "bf16"), ("float16", "fp16")])
def test_golden_adapters_match_within_rounding_in_half_precision(base: Path, dtype: str, short: str) -> None:
    half, ids = load_with_golden_adapters(base, dtype), adapter_fixtures.load_golden_tensors()["input_ids"]
    for name in adapter_fixtures.GOLDEN_NAMES:
        difference = (logits(half, name, ids) - golden_logits(name, short)).abs().max()
        assert difference <= HALF_TOLERANCE[dtype], (name, difference)


def test_engine_generates_the_golden_tokens_of_concurrent_adapters(base: Path, engines: Callable[..., Any]) -> None:
    """Two requests with different adapters run at a time."""
    golden = adapter_fixtures.load_golden_tensors()
    prompt = adapter_fixtures.text_of(golden["input_ids"][0].tolist())
    engine = engines(
        base, {name: adapter_fixtures.GOLDEN / name for name in adapter_fixtures.GOLDEN_NAMES}, dtype="float32"
    )
    is_loaded = threading.Event()
    engine.subscribe(lambda status: is_loaded.set() if status.phase is not Phase.LOADING else None)
    assert engine.status().phase is not Phase.LOADING or is_loaded.wait(300)
    assert (engine.status().phase, engine.status().message) == (Phase.READY, "")

    async def generate(name: str) -> list[int]:
        request = Request((prompt,), 8, adapter=name)
        return [id_ async for chunk in engine.stream(request) for id_ in chunk.token_ids]

    async def run_pairs() -> None:
        names = random.Random(2).sample(adapter_fixtures.GOLDEN_NAMES * 2, 12)
        for left, right in zip(names[::2], names[1::2], strict=True):
            generated = await asyncio.gather(generate(left), generate(right))
            assert generated[0] == golden[f"{left}.greedy_ids"].flatten()[-8:].tolist(), left
            assert generated[1] == golden[f"{right}.greedy_ids"].flatten()[-8:].tolist(), right

    asyncio.run(asyncio.wait_for(run_pairs(), 300))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(order=st.lists(st.sampled_from([None, *adapter_fixtures.GOLDEN_NAMES]), min_size=2, max_size=12))
def test_logits_do_not_depend_on_the_order_of_switches(order: list[str | None], loaded: LoadedModel) -> None:
    ids = adapter_fixtures.load_golden_tensors()["input_ids"][:1]
    first: dict[str | None, torch.Tensor] = {}
    for name in order:
        actual = logits(loaded, name, ids)
        assert torch.equal(actual, first.setdefault(name, actual)), (order, name)
    assert not any(
        weight.requires_grad
        for adapter in loaded.adapters
        for target in adapter.targets
        for weight in target.weights().values()
    )


def test_base_is_unchanged_while_no_adapter_is_active(loaded: LoadedModel, base: Path) -> None:
    alone = load(Model(name=str(base), device="cpu", dtype="float32"), ignore_progress)
    ids = adapter_fixtures.load_golden_tensors()["input_ids"]
    assert torch.equal(logits(loaded, None, ids), logits(alone, None, ids))
    loaded.adapters.activate(None)
    assert [type(m) for m in loaded.runner.model.modules()] == [type(m) for m in alone.runner.model.modules()]


@dataclass(frozen=True, slots=True)
class AllMethods:
    """A base with an adapter of each method, and the tokens that each generates without concurrent requests."""

    loaded: LoadedModel
    expected_ids: dict[str | None, list[int]]


@pytest.fixture(scope="module")
def all_methods(
    starcoder: Path, tmp_path_factory: pytest.TempPathFactory, doubled: Callable[..., LoadedModel]
) -> AllMethods:
    folders = adapter_fixtures.save_adapter_of_each_method(starcoder, tmp_path_factory.mktemp("methods"))
    loaded = doubled(starcoder, 16, folders)
    expected_ids = {name: run_alone(loaded, name) for name in (None, *folders)}
    assert len({tuple(ids) for ids in expected_ids.values()}) == len(expected_ids), "all differ"
    return AllMethods(loaded, expected_ids)


def create_request(name: str | None) -> Request:
    return Request((TEXT,), 16, adapter=name)


def run_alone(loaded: LoadedModel, name: str | None, state: GenerationState | None = None) -> list[int]:
    steps = generate_alone(create_request(name), state or GenerationState.empty(loaded), lambda: None)
    return [id_ for chunks in steps for chunk in chunks for id_ in chunk.token_ids]


def run_interleaved(all_methods: AllMethods, seed: int, state: GenerationState | None = None) -> None:
    """Run requests of the base and each adapter step by step in random order, twice, with a shared prefix cache.

    Raises AssertionError if one generates other tokens than alone.
    """
    rng, state = random.Random(seed), state or GenerationState.empty(all_methods.loaded)
    for _ in range(2):
        running = {
            name: (generate_alone(create_request(name), state, lambda: None), []) for name in all_methods.expected_ids
        }
        generated: dict[str | None, list[int]] = {name: [] for name in running}
        while running:
            name = rng.choice(list(running))
            chunks = next(running[name][0], None)
            if chunks is None:
                del running[name]
            else:
                generated[name] += [id_ for chunk in chunks for id_ in chunk.token_ids]
        assert generated == all_methods.expected_ids


@pytest.mark.parametrize("seed", range(3))
def test_interleaved_requests_generate_the_same_tokens_as_alone(all_methods: AllMethods, seed: int) -> None:
    run_interleaved(all_methods, seed)


class _PrefixCacheWithoutAdapters(PrefixCache):
    """A mutant that shares the keys and values of all adapters."""

    @contextmanager
    def acquire(
        self, prompt: Any, room: int, adapter_key: Any = None, virtual_tokens: int = 0, is_prefetch: bool = False
    ) -> Iterator[Any]:
        del adapter_key
        with super().acquire(prompt, room, None, virtual_tokens, is_prefetch) as slot:
            yield slot


def _activate_only_first(self: ResidentAdapters, adapter: ResidentAdapter | None) -> None:
    """A mutant: the adapter that was activated first stays active."""
    if self._active is None:
        _ACTIVATE(self, adapter)


def _write_all_but_one_token(self: virtual_tokens.VirtualTokens, model: Any, cache: KvCache) -> None:
    """A mutant: all positions after the virtual tokens are off by one."""
    _WRITE(self, model, cache)
    cache.truncate(self.count - 1)


def _leave_last_layer_active(self: ResidentAdapters, adapter: ResidentAdapter | None) -> None:
    """A mutant: a switch to the base leaves the adapter's last layer in the model."""
    last = self._active.targets[-1] if self._active is not None and self._active.targets else None
    _ACTIVATE(self, adapter)
    if adapter is None and last is not None:
        last.use_adapter_layer()


_ACTIVATE, _WRITE = ResidentAdapters.activate, virtual_tokens.VirtualTokens.write
MUTANTS = {
    "later activations are skipped": (ResidentAdapters, "activate", _activate_only_first),
    "last layer stays active": (ResidentAdapters, "activate", _leave_last_layer_active),
    "positions are off by one": (virtual_tokens.VirtualTokens, "write", _write_all_but_one_token),
}


@pytest.mark.parametrize("mutant", MUTANTS)
def test_mutant_is_detected_by_interleaved_requests(
    mutant: str, all_methods: AllMethods, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner, attribute, replacement = MUTANTS[mutant]
    all_methods.loaded.adapters.activate(None)
    with monkeypatch.context() as patched:
        patched.setattr(owner, attribute, replacement)
        with pytest.raises(AssertionError):
            run_interleaved(all_methods, 0)
    for adapter in all_methods.loaded.adapters:  # undo what the mutant left in the model
        all_methods.loaded.adapters.activate(adapter)
    all_methods.loaded.adapters.activate(None)
    for adapter in all_methods.loaded.adapters:
        for target in adapter.targets:
            target.use_base_layer()
    run_interleaved(all_methods, 0)


def test_prefix_cache_that_ignores_adapters_is_detected(all_methods: AllMethods) -> None:
    with pytest.raises(AssertionError):
        run_interleaved(
            all_methods,
            0,
            GenerationState(all_methods.loaded, _PrefixCacheWithoutAdapters(all_methods.loaded.runner.layers)),
        )


def test_replaced_adapter_does_not_reuse_the_cached_prefix(starcoder: Path, tmp_path: Path, doubled: Any) -> None:
    """The second adapter has the same name but other weights."""
    folders = [
        adapter_fixtures.save_random_adapter(
            starcoder, tmp_path / str(seed), adapter_fixtures.create_peft_config("parallel"), seed
        )
        for seed in (1, 2)
    ]
    expected = [run_alone(doubled(starcoder, 16, {"own": folder}), "own") for folder in folders]
    assert expected[0] != expected[1]
    loaded = doubled(starcoder, 16, {"own": folders[0]})
    state = GenerationState.empty(loaded)
    assert run_alone(loaded, "own", state) == expected[0]
    adapter = loaded.adapters.add(
        "own", resident_adapters.prepare_adapter(Adapter(path=str(folders[1])), True, ignore_progress)
    )
    for target in adapter.targets:
        target.adapter_layer.double()
    assert run_alone(loaded, "own", state) == expected[1]
    state.prefix_cache.retain_adapters(loaded.adapters.keys)
    assert {slot.adapter_key for slot in state.prefix_cache._idle} == {adapter.key}


@pytest.mark.perf
@pytest.mark.parametrize("layers", [2, 24])
def test_switch_takes_less_than_5_ms(layers: int, tmp_path: Path) -> None:
    """The 24 layers are those of a 1B model. A switch sets dictionary entries, so the width does not matter."""
    base = checkpoints.gpt_bigcode(tmp_path / "base", n_layer=layers)
    adapters = {}
    for method in ("lora", "adapterh"):
        config = adapter_fixtures.create_peft_config(method)
        adapters[method] = Adapter(path=str(adapter_fixtures.save_random_adapter(base, tmp_path / method, config)))
    loaded = load(Model(name=str(base), device="cpu"), ignore_progress, adapters)
    durations_ms = []
    for number in range(200):
        adapter = loaded.adapters.find((None, "lora", "adapterh")[number % 3])
        start_s = time.perf_counter()
        loaded.adapters.activate(adapter)
        durations_ms.append((time.perf_counter() - start_s) * 1000)
    assert statistics.median(durations_ms) < 1.0
    assert sorted(durations_ms)[190] < 5.0


def test_size_is_that_of_the_adapter_weights(loaded: LoadedModel) -> None:
    sizes = {adapter.name: adapter.size_bytes for adapter in loaded.adapters}
    d, out, f, layers = 64, 64 + 2 * 16, 256, 3
    assert sizes["parallel"] == 4 * layers * 16 * (d + out)
    assert sizes["adapterh"] == 4 * layers * 16 * 4 * d
    assert sizes["adapterp"] == 4 * layers * 16 * 2 * d
    assert sizes["lora"] == 4 * layers * 8 * ((d + out) + (d + d) + (f + d))
    assert sizes["ia3"] == 4 * layers * (out + f)
    assert sizes["ptuning"] == 4 * 30 * d
    assert loaded.bytes == loaded.runner.weight_bytes + sum(sizes.values())


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
@pytest.mark.parametrize("method", adapter_fixtures.METHODS)
def test_logits_equal_those_of_peft(method: str, starcoder: Path, tmp_path: Path, doubled: Any) -> None:
    """Both in float64; PEFT loads the adapter with ``PeftModel``, as model cards do."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    folder = adapter_fixtures.save_random_adapter(
        starcoder, tmp_path / "adapter", adapter_fixtures.create_peft_config(method)
    )
    loaded = doubled(starcoder, 16, {"own": folder})
    ids = torch.arange(20, 45)[None]
    base_model = AutoModelForCausalLM.from_pretrained(starcoder, dtype=torch.float32)
    peft_model = PeftModel.from_pretrained(base_model, str(folder)).eval().double()
    with torch.inference_mode():
        expected = peft_model(input_ids=ids).logits[:, -ids.shape[1] :]
    adapter = loaded.adapters.find("own")
    loaded.adapters.activate(adapter)
    cache = KvCache(loaded.runner.layers, 0)
    if adapter is not None and adapter.virtual_tokens is not None:
        adapter.virtual_tokens.write(loaded.runner.model, cache)
    with torch.inference_mode():
        actual = loaded.runner.model(input_ids=ids, past_key_values=cache, use_cache=True).logits
    torch.testing.assert_close(actual, expected, rtol=0, atol=1e-9)
    loaded.adapters.activate(None)
    base_logits = manual_decoding.forward(loaded.runner, ids.tolist(), KvCache(loaded.runner.layers, 0))
    assert (base_logits - actual[:, -1]).abs().max() > 0.1


def test_status_has_method_source_and_virtual_tokens(loaded: LoadedModel) -> None:
    statuses = {status.name: status for status in loaded.adapters.statuses()}
    assert {name: status.method for name, status in statuses.items()} == {
        name: json.loads((adapter_fixtures.GOLDEN / name / "adapter_config.json").read_text())["peft_type"]
        for name in adapter_fixtures.GOLDEN_NAMES
    }
    assert statuses["ptuning"].virtual_tokens == 30
    assert statuses["lora"].source == str(adapter_fixtures.GOLDEN / "lora")
