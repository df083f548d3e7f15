"""The compiled pass has the logits of transformers, and is bit-equal to itself for any chunks, batches and threads."""

from __future__ import annotations

import copy
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
from starcoder_ls.engine.forward_pass import ForwardPass, LogitsFor
from starcoder_ls.engine.generation.loaded_model import LoadedModel
from starcoder_ls.engine.kv_cache.cache import KvCache
from starcoder_ls.engine.runner import compiled_pass, packed_linear, pass_costs
from starcoder_ls.engine.runner.model_runner import ModelRunner
from starcoder_ls.engine.runner.packed_linear import WeightFormat
from starcoder_ls.settings import Adapter, Model

pytestmark = pytest.mark.skipif(not packed_linear.is_possible(), reason="no kernels of our own on this processor")

IDS = torch.randint(20, 600, (200,), generator=torch.Generator().manual_seed(3)).tolist()
GROUPED = {"hidden_size": 256, "num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 300}
LINEAR = {"rope_type": "linear", "factor": 4.0, "rope_theta": 1e4}
CHECKPOINTS: dict[str, tuple[Callable[..., Path], dict[str, Any], torch.dtype]] = {
    "two heads of 64": (checkpoints.gpt_bigcode, {"n_embd": 128, "n_head": 2, "n_inner": 512}, torch.float16),
    "three heads of 128": (checkpoints.gpt_bigcode, {"n_embd": 384, "n_head": 3, "n_inner": 700}, torch.float16),
    "bfloat16": (checkpoints.gpt_bigcode, {"n_embd": 128, "n_head": 2, "n_inner": 512}, torch.bfloat16),
    "starcoder2": (checkpoints.starcoder2, GROUPED, torch.bfloat16),
    "starcoder2 without window": (checkpoints.starcoder2, GROUPED | {"sliding_window": None}, torch.float16),
    "qwen2": (checkpoints.qwen2, GROUPED, torch.bfloat16),
    "qwen2 with one windowed layer": (
        checkpoints.qwen2,
        GROUPED
        | {"use_sliding_window": True, "sliding_window": 16, "max_window_layers": 1, "tie_word_embeddings": True},
        torch.float16,
    ),
    "llama": (checkpoints.llama, GROUPED | {"num_key_value_heads": 4}, torch.float16),
    "llama with scaled rotation": (checkpoints.llama, GROUPED | {"rope_parameters": LINEAR}, torch.float16),
    "llama with wide heads": (checkpoints.llama, GROUPED | {"head_dim": 128, "attention_bias": True}, torch.float16),
}
ONE_OF_EACH = ["two heads of 64", "starcoder2", "qwen2", "llama"]
CLOSE = 1e-3
"""In units of the logits' standard deviation: the pass computes in float32, transformers here in float64."""


def nothing(_fraction: float, _sentence: str) -> None:
    """Ignores progress."""


def save_checkpoint(name: str, folder: Path) -> Path:
    create, sizes, stored = CHECKPOINTS[name]
    create(folder, **sizes)
    transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=stored).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module", params=[*CHECKPOINTS])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_checkpoint(request.param, tmp_path_factory.mktemp("compiled") / "base")


@pytest.fixture(scope="module")
def loaded(folder: Path) -> LoadedModel:
    return load(Model(name=str(folder), device="cpu"), nothing)


@pytest.fixture(scope="module")
def exact(folder: Path) -> Any:
    """transformers' own model of the same weights, in float64."""
    return transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float64).eval()


def reference_logits(exact: Any, ids: list[int]) -> torch.Tensor:
    with torch.inference_mode():
        logits: torch.Tensor = exact(torch.tensor([ids])).logits[0]
    return logits


def distance(found: torch.Tensor, expected: torch.Tensor) -> float:
    return float((found - expected).abs().max() / expected.std())


def test_packed_model_is_compiled_and_float32_is_not(folder: Path, loaded: LoadedModel) -> None:
    assert isinstance(loaded.runner.compiled_pass, compiled_pass.CompiledPass)
    wide = load(Model(name=str(folder), device="cpu", dtype="float32"), nothing)
    assert wide.runner.compiled_pass is None


@settings(max_examples=12, deadline=None)
@given(cuts=st.lists(st.integers(1, 90), min_size=1, max_size=6), rewind=st.integers(0, 60))
def test_logits_equal_transformers_for_any_chunks(
    loaded: LoadedModel, exact: Any, cuts: list[int], rewind: int
) -> None:
    expected = reference_logits(exact, IDS)
    cache = KvCache(loaded.runner.layers, 8)
    for start, end in manual_decoding.chunk_ranges(IDS, cuts, rewind, cache):
        logits = manual_decoding.forward_all(loaded.runner, IDS[start:end], cache)
        assert distance(logits, expected[start:end]) < CLOSE


@settings(max_examples=12, deadline=None)
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


@pytest.mark.parametrize(("layers", "threads"), [(1, 1), (1, 2), (5, 1)])
def test_pass_that_pauses_for_others_is_bit_equal_to_one_that_does_not(
    loaded: LoadedModel, layers: int, threads: int
) -> None:
    """The others need more scratch memory and a longer table of rotations."""
    others: list[torch.Tensor] = []

    def run_other_pass() -> None:
        others.append(manual_decoding.forward_all(loaded.runner, IDS, KvCache(loaded.runner.layers, 256)))

    alone = manual_decoding.forward_all(loaded.runner, IDS, KvCache(loaded.runner.layers, 256))
    whole, paused = (KvCache(loaded.runner.layers, 64) for _ in range(2))
    expected = loaded.runner.run(ForwardPass([IDS[:40]], whole, LogitsFor.ALL)).values
    loaded.runner.token_ms = pass_costs.MAX_CHUNK_MS * loaded.runner.layers / layers / 40
    loaded.runner.threads = threads
    try:
        values = loaded.runner.run(ForwardPass([IDS[:40]], paused, LogitsFor.ALL), None, run_other_pass).values
    finally:
        loaded.runner.token_ms, loaded.runner.threads = 0.0, 1
    assert len(others) == (loaded.runner.layers - 1) // layers
    assert torch.equal(values, expected)
    assert all(torch.equal(other, alone) for other in others)
    again = manual_decoding.forward_all(loaded.runner, IDS[40:50], paused)
    assert torch.equal(again, manual_decoding.forward_all(loaded.runner, IDS[40:50], whole))


@settings(max_examples=12, deadline=None)
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
    own_pass = loaded.runner.compiled_pass
    assert own_pass is not None
    with torch.inference_mode():
        expected = [own_pass.hidden_states([single])[0] for single in alone]
        found = own_pass.hidden_states(several)
    assert all(map(torch.equal, found, expected))


@pytest.mark.parametrize("weight_format", [WeightFormat.INT8, WeightFormat.INT4])
@pytest.mark.parametrize("folder", ONE_OF_EACH, indirect=True)
def test_rounded_logits_equal_transformers_with_the_rounded_weights(
    folder: Path, weight_format: WeightFormat, exact: Any
) -> None:
    """And are bit-equal for other chunks and threads."""
    runner = rounded_runner(folder, weight_format)
    rounded = copy.deepcopy(exact)
    for name, layer in runner.model.named_modules():
        if isinstance(layer, packed_linear.PackedLinear):
            rounded.get_submodule(name).weight = torch.nn.Parameter(layer.dequantized().double(), requires_grad=False)
    logits = manual_decoding.forward_all(runner, IDS[:90], KvCache(runner.layers, 96))
    own_distance = distance(logits, reference_logits(rounded, IDS[:90]))
    assert own_distance < 20 * CLOSE  # activations are rounded to 16 bits
    assert distance(logits, reference_logits(exact, IDS[:90])) > 4 * own_distance
    runner.threads, cache = 1, KvCache(runner.layers, 96)
    chunks = [manual_decoding.forward_all(runner, IDS[start:end], cache) for start, end in ((0, 1), (1, 6), (6, 90))]
    assert torch.equal(torch.cat(chunks), logits)


def rounded_runner(folder: Path, weight_format: WeightFormat) -> ModelRunner:
    loaded = load(Model(name=str(folder), device="cpu"), nothing)
    for layer in packed_linear.layers_of(loaded.runner.model):
        layer.round_to(weight_format)
    runner = ModelRunner(loaded.runner.model, loaded.adapters)
    assert runner.compiled_pass is not None
    return runner


@pytest.mark.parametrize("folder", ONE_OF_EACH, indirect=True)
@pytest.mark.parametrize("method", ["lora", "prefix"])
def test_adapter_changes_logits_and_base_is_unchanged_after(
    method: str, folder: Path, tmp_path: Path, exact: Any
) -> None:
    config = adapter_fixtures.create_peft_config(method)
    if "c_attn" not in str(exact):
        config.target_modules = {"q_proj", "v_proj", "o_proj"}
    path = adapter_fixtures.save_random_adapter(folder, tmp_path / method, config)
    loaded = load(Model(name=str(folder), device="cpu"), nothing, {"mine": Adapter(path=str(path))})
    adapter = loaded.adapters.find("mine")
    assert adapter is not None
    before = manual_decoding.forward_all(loaded.runner, IDS[:40], KvCache(loaded.runner.layers, 64))
    cache = manual_decoding.cache_with_virtual_tokens(loaded, adapter, 128)
    with_it = manual_decoding.forward_all(loaded.runner, IDS[:40], cache, adapter)
    assert torch.equal(manual_decoding.forward_all(loaded.runner, IDS[:40], KvCache(loaded.runner.layers, 64)), before)
    assert distance(before, reference_logits(exact, IDS[:40])) < CLOSE
    assert distance(with_it, before) > 0.1


@pytest.mark.parametrize("folder", ONE_OF_EACH, indirect=True)
def test_unknown_token_or_learned_position_raises_index_error(folder: Path) -> None:
    loaded = load(Model(name=str(folder), device="cpu"), nothing)
    for ids in ([640], [-1], [20] * 257):
        if len(ids) == 1 or "transformer.wpe.weight" in loaded.runner.model.state_dict():
            with pytest.raises(IndexError, match=r"no token|positions"):
                manual_decoding.forward(loaded.runner, [ids], KvCache(loaded.runner.layers, 8))


def test_tokens_behind_the_first_rotary_table_equal_transformers(tmp_path: Path) -> None:
    """The table grows between two passes; the sequence is longer than its first rows."""
    folder = save_checkpoint("llama", tmp_path / "base")
    loaded = load(Model(name=str(folder), device="cpu"), nothing)
    ids = (IDS * 6)[: compiled_pass.ROTARY_GROWTH + 20]
    cache = KvCache(loaded.runner.layers, 8)
    manual_decoding.forward(loaded.runner, [ids[:-40]], cache)
    logits = manual_decoding.forward_all(loaded.runner, ids[-40:], cache)
    exact = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float64).eval()
    assert distance(logits, reference_logits(exact, ids)[-40:]) < CLOSE


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("llama", {"rope_parameters": {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 1e4}}),
        ("qwen2", {"hidden_act": "gelu"}),
        ("starcoder2", {"hidden_act": "relu"}),
        ("two heads of 64", {"activation_function": "gelu_10"}),
    ],
)
def test_what_the_kernels_lack_is_not_compiled(name: str, changes: dict[str, Any], tmp_path: Path) -> None:
    create, sizes, _ = CHECKPOINTS[name]
    folder = create(tmp_path / "base", **sizes)
    checkpoints.edit_config(folder, **changes)
    assert load(Model(name=str(folder), device="cpu"), nothing).runner.compiled_pass is None


@pytest.mark.parametrize("activation", ["gelu", "gelu_new", "gelu_fast"])
@pytest.mark.parametrize(("name", "key"), [("two heads of 64", "activation_function"), ("starcoder2", "hidden_act")])
def test_each_gelu_equals_transformers(name: str, key: str, activation: str, tmp_path: Path) -> None:
    """``gelu`` is the exact one; the logits of its approximations differ little, but by more than float32 does."""
    folder = save_checkpoint(name, tmp_path / "base")
    checkpoints.edit_config(folder, **{key: activation})
    loaded = load(Model(name=str(folder), device="cpu"), nothing)
    assert loaded.runner.compiled_pass is not None
    exact = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float64).eval()
    logits = manual_decoding.forward_all(loaded.runner, IDS[:60], KvCache(loaded.runner.layers, 64))
    own_distance = distance(logits, reference_logits(exact, IDS[:60]))
    assert own_distance < CLOSE
    checkpoints.edit_config(folder, **{key: "gelu_new" if activation == "gelu" else "gelu"})
    other = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float64).eval()
    assert distance(logits, reference_logits(other, IDS[:60])) > 4 * own_distance


def test_heads_of_48_are_not_compiled(qwen2: Path) -> None:
    assert load(Model(name=str(qwen2), device="cpu"), nothing).runner.compiled_pass is None


Arguments = list[Any]
"""Those of ``kernels.forward.forward``."""
LAYERS, POSITIONS, SEQUENCES, CACHES = 0, 10, 11, 12


def mutant_position_plus_one(arguments: Arguments) -> None:
    """All positions but the first: a shift of all changes nothing in a model that rotates."""
    arguments[POSITIONS] = arguments[POSITIONS] + (arguments[POSITIONS] > 0)


def mutant_key_written_one_too_early(arguments: Arguments) -> None:
    """New keys and values are written one position too early."""
    arguments[SEQUENCES] = arguments[SEQUENCES].copy()
    arguments[SEQUENCES][:, 2] -= arguments[SEQUENCES][:, 2] > 0


def mutant_other_head_group(arguments: Arguments) -> None:
    """Cached keys and values of the heads are read in reverse order: two heads, or four."""
    caches, is_cached = arguments[CACHES].copy(), arguments[SEQUENCES][:, 2] > 0
    heads = mutant_other_head_group.heads  # type: ignore[attr-defined]
    caches[:, is_cached, :2] += (heads - 1) * caches[:, is_cached, 2:]
    caches[:, is_cached, 2] *= -1
    arguments[CACHES] = caches


def mutant_window_plus_one(arguments: Arguments) -> None:
    arguments[LAYERS] = arguments[LAYERS].copy()
    arguments[LAYERS][:, -1] += 1


def mutant_stale_keys(_arguments: Arguments) -> None:
    """``KvCache.truncate`` does nothing."""


MUTANTS = {
    "two heads of 64": (mutant_position_plus_one, mutant_key_written_one_too_early, mutant_stale_keys),
    "starcoder2": (mutant_position_plus_one, mutant_other_head_group, mutant_window_plus_one, mutant_stale_keys),
    "qwen2": (mutant_position_plus_one, mutant_other_head_group, mutant_stale_keys),
    "llama": (mutant_position_plus_one, mutant_other_head_group, mutant_stale_keys),
}


@pytest.mark.parametrize(
    ("folder", "mutant"),
    [(name, mutant) for name, mutants in MUTANTS.items() for mutant in mutants],
    indirect=["folder"],
)
def test_mutant_of_the_compiled_pass_changes_logits(
    mutant: Callable[[Arguments], None], folder: Path, exact: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = load(Model(name=str(folder), device="cpu"), nothing)
    own_pass: Any = loaded.runner.compiled_pass
    forward = own_pass._forward
    mutant_other_head_group.heads = own_pass._kv_heads  # type: ignore[attr-defined]

    def mutated(*arguments: Any) -> None:
        changed = list(arguments)
        mutant(changed)
        forward(*changed)

    def is_equal_after_other_text() -> bool:
        cache = KvCache(loaded.runner.layers, 128)
        manual_decoding.forward(loaded.runner, [IDS[50:80]], cache)
        cache.truncate(0)
        manual_decoding.forward(loaded.runner, [IDS[:1]], cache)
        logits = manual_decoding.forward_all(loaded.runner, IDS[1:40], cache)
        return distance(logits, reference_logits(exact, IDS[:40])[1:]) < 100 * CLOSE

    assert is_equal_after_other_text()
    own_pass._forward = mutated
    if mutant is mutant_stale_keys:
        monkeypatch.setattr(KvCache, "truncate", lambda _cache, _length: None)
    assert not is_equal_after_other_text()
