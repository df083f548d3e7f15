"""The compiled pass with an adapter has the logits of PEFT, and is bit-equal to itself for any chunks and threads."""

from __future__ import annotations

import functools
import gc
import warnings
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from peft import IA3Config, LoraConfig, PeftModel
from safetensors.torch import load_file, save_file

import adapter_fixtures
import checkpoints
import manual_decoding
from starcoder_ls.engine.adapters.adapter_method import LayerMethod
from starcoder_ls.engine.adapters.methods.bottleneck import Bottleneck
from starcoder_ls.engine.adapters.resident_adapters import ResidentAdapter, prepare_adapter
from starcoder_ls.engine.assembly import load
from starcoder_ls.engine.forward_pass import ForwardPass, LogitsFor
from starcoder_ls.engine.generation.loaded_model import LoadedModel
from starcoder_ls.engine.kv_cache.cache import KvCache
from starcoder_ls.engine.loading.progress import ignore_progress
from starcoder_ls.engine.runner import packed_linear
from starcoder_ls.engine.runner.adapter_tables import AdapterTable
from starcoder_ls.learning.finetuning.bottleneck_tuner import BottleneckConfig
from starcoder_ls.settings import Adapter, Model

pytestmark = pytest.mark.skipif(not packed_linear.is_possible(), reason="no kernels of our own on this processor")

IDS = torch.randint(20, 600, (120,), generator=torch.Generator().manual_seed(3)).tolist()
GROUPED = {"hidden_size": 256, "num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 300}
FAMILIES: dict[str, tuple[Callable[..., Path], dict[str, Any]]] = {
    "starcoder": (checkpoints.gpt_bigcode, {"n_embd": 128, "n_head": 2, "n_inner": 300}),
    "starcoder2": (checkpoints.starcoder2, GROUPED),
    "qwen2": (checkpoints.qwen2, GROUPED),
    "llama": (checkpoints.llama, GROUPED | {"head_dim": 128}),
}
CLOSE = 1e-3
"""In units of the logits' standard deviation: the pass computes in float32, PEFT here in float64."""

ATTENTION = ["q_proj", "v_proj", "o_proj"]
SHARED: dict[str, Any] = {"task_type": "CAUSAL_LM"}


def lora(*targets: str, rank: int = 5, **values: Any) -> LoraConfig:
    return LoraConfig(r=rank, lora_alpha=3 * rank, target_modules=[*targets], **SHARED, **values)


def ia3(*targets: str, feedforward: str) -> IA3Config:
    return IA3Config(target_modules=[*targets, feedforward], feedforward_modules=[feedforward], **SHARED)


def bottleneck(*targets: str, is_parallel: bool = False, **values: Any) -> BottleneckConfig:
    values = {"bottleneck_size": 20, "scaling": 0.5} | values
    return BottleneckConfig(target_modules=[*targets], use_parallel_adapter=is_parallel, **SHARED, **values)


CASES: dict[str, tuple[str, Any]] = {
    "starcoder, LoRA": ("starcoder", lora("c_attn", "c_proj", "c_fc")),
    "starcoder, LoRA in one layer": ("starcoder", lora("c_fc", rank=70, layers_to_transform=[1])),
    "starcoder, (IA)3": ("starcoder", ia3("c_attn", feedforward="mlp.c_proj")),
    "starcoder, Parallel": ("starcoder", bottleneck("c_attn", is_parallel=True)),
    "starcoder, AdapterH": ("starcoder", bottleneck("c_fc", "mlp.c_proj", non_linearity="gelu")),
    "starcoder, AdapterP": ("starcoder", bottleneck("mlp.c_proj", scaling="learned", non_linearity="relu")),
    "starcoder2, LoRA": ("starcoder2", lora(*ATTENTION, "c_fc", "c_proj", use_rslora=True)),
    "starcoder2, AdapterH": ("starcoder2", bottleneck("c_fc", "c_proj", non_linearity="sigmoid")),
    "qwen2, LoRA": ("qwen2", lora(*ATTENTION, "k_proj", "gate_proj", "up_proj", "down_proj")),
    "qwen2, (IA)3": ("qwen2", ia3("k_proj", "v_proj", feedforward="down_proj")),
    "qwen2, Parallel": ("qwen2", bottleneck("v_proj", "up_proj", is_parallel=True, non_linearity="silu")),
    "qwen2, AdapterH": ("qwen2", bottleneck("gate_proj", "up_proj", "down_proj")),
    "qwen2, input of one of two": ("qwen2", bottleneck("up_proj", scaling="learned", non_linearity="relu")),
    "llama, AdapterH": ("llama", bottleneck("gate_proj", "up_proj", non_linearity="gelu")),
    "llama, LoRA": ("llama", lora("v_proj", "o_proj", "up_proj", "down_proj")),
    "llama, output": ("llama", bottleneck("down_proj", non_linearity="leaky_relu")),
}


def distance(found: torch.Tensor, expected: torch.Tensor) -> float:
    return float((found - expected).abs().max() / expected.std())


def save_base(family: str, folder: Path) -> Path:
    create, sizes = FAMILIES[family]
    create(folder, **sizes)
    transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float16).save_pretrained(folder)
    return folder


def load_with(base: Path, **adapters: Path) -> LoadedModel:
    resident = {name: Adapter(path=str(path)) for name, path in adapters.items()}
    loaded = load(Model(name=str(base), device="cpu"), ignore_progress, resident)
    assert loaded.message == ""
    return loaded


def find(loaded: LoadedModel, name: str) -> ResidentAdapter:
    adapter = loaded.adapters.find(name)
    assert adapter is not None
    return adapter


def forward_all(loaded: LoadedModel, name: str | None, ids: list[int] = IDS) -> torch.Tensor:
    cache = KvCache(loaded.runner.layers, len(ids))
    return manual_decoding.forward_all(loaded.runner, ids, cache, loaded.adapters.find(name))


def reference_logits(base: Path, adapter: Path) -> torch.Tensor:
    """transformers' model with PEFT's layers, in float64."""
    return peft_logits(transformers.AutoModelForCausalLM.from_pretrained(base, dtype=torch.float64), adapter)


def peft_logits(exact: Any, adapter: Path) -> torch.Tensor:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        adapted = PeftModel.from_pretrained(exact, adapter).double().eval()
    with torch.inference_mode():
        logits: torch.Tensor = adapted(torch.tensor([IDS])).logits[0]
    return logits


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("bases")
    return {family: save_base(family, folder / family) for family in FAMILIES}


Prepare = Callable[[str], tuple[LoadedModel, torch.Tensor]]


@pytest.fixture(scope="module")
def prepare(bases: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Prepare:
    """The base of a case with its adapter "own", and the logits of PEFT; made once for each case."""

    @functools.cache
    def prepare_case(case: str) -> tuple[LoadedModel, torch.Tensor]:
        family, config = CASES[case]
        folder = tmp_path_factory.mktemp("adapter") / "own"
        path = adapter_fixtures.save_random_adapter(bases[family], folder, config)
        return load_with(bases[family], own=path), reference_logits(bases[family], path)

    return prepare_case


@pytest.mark.parametrize("case", CASES)
def test_logits_equal_peft_in_float64(case: str, prepare: Prepare) -> None:
    loaded, expected = prepare(case)
    own_pass = loaded.runner.compiled_pass
    assert own_pass is not None
    assert own_pass.can_apply(find(loaded, "own"))
    assert distance(forward_all(loaded, "own"), expected) < CLOSE
    assert distance(forward_all(loaded, None), expected) > 100 * CLOSE


def test_adapter_of_a_method_without_layer_changes_runs_in_transformers(
    bases: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As of a method whose layers are neither a branch nor factors."""
    monkeypatch.setattr(Bottleneck, "layer_change", LayerMethod.layer_change)
    base = bases["qwen2"]
    path = adapter_fixtures.save_random_adapter(base, tmp_path / "adapter", bottleneck("gate_proj", "up_proj"))
    loaded = load_with(base, own=path)
    own_pass = loaded.runner.compiled_pass
    assert own_pass is not None
    assert not own_pass.can_apply(find(loaded, "own"))
    assert distance(forward_all(loaded, "own"), reference_logits(base, path)) < CLOSE
    runner = loaded.runner
    runner.chunk_tokens, runner.token_ms = 256, 0.6  # 256 tokens take 154 ms, 32 take 19
    assert runner.chunk_tokens_with(None) == 256
    assert runner.chunk_tokens_with(find(loaded, "own")) == 32 == runner.unpaused_tokens


@pytest.mark.parametrize("config", [lora("c_attn", "c_proj", "c_fc"), bottleneck("c_fc", "mlp.c_proj")])
def test_adapter_of_a_model_in_4_bits_equals_peft_on_the_rounded_weights(config: Any, tmp_path: Path) -> None:
    sizes = {"n_embd": 256, "n_head": 4, "n_inner": 1024, "weight_std": 0.01}  # which 4 bits represent well
    base = checkpoints.gpt_bigcode(tmp_path / "base", **sizes)
    path = adapter_fixtures.save_random_adapter(base, tmp_path / "own", config)
    settings = Model(name=str(base), device="cpu", quantization="torchao-int4")
    loaded = load(settings, ignore_progress, {"own": Adapter(path=str(path))})
    own_pass = loaded.runner.compiled_pass
    assert (loaded.placement.quantization, loaded.message) == ("torchao-int4", "")
    assert own_pass is not None
    assert own_pass.can_apply(find(loaded, "own"))
    exact = transformers.AutoModelForCausalLM.from_pretrained(base, dtype=torch.float64)
    for name, layer in loaded.runner.model.named_modules():
        if isinstance(layer, packed_linear.PackedLinear) and name != "lm_head":
            weight = torch.nn.Parameter(layer.dequantized().double())
            exact.get_submodule(name.removesuffix(".base_layer")).weight = weight
    expected = peft_logits(exact, path)
    found = forward_all(loaded, "own")
    assert distance(found, expected) < 0.05  # activations and the output layer are rounded to more bits than 4
    assert distance(found, reference_logits(base, path)) > 4 * distance(found, expected)
    assert distance(forward_all(loaded, None), expected) > 1.0


@pytest.mark.parametrize("stored", [torch.float16, torch.bfloat16])
def test_weights_of_a_file_in_16_bits_are_used_as_stored(
    stored: torch.dtype, bases: dict[str, Path], tmp_path: Path
) -> None:
    base = bases["starcoder"]
    path = adapter_fixtures.save_random_adapter(base, tmp_path / "adapter", lora("c_attn", "c_fc"))
    file = path / "adapter_model.safetensors"
    save_file({name: weight.to(stored) for name, weight in load_file(file).items()}, file)
    assert distance(forward_all(load_with(base, own=path), "own"), reference_logits(base, path)) < CLOSE


@pytest.fixture(params=["starcoder, AdapterH", "qwen2, LoRA", "qwen2, AdapterH"])
def loaded(request: pytest.FixtureRequest, prepare: Prepare) -> LoadedModel:
    return prepare(request.param)[0]


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cuts=st.lists(st.integers(1, 70), min_size=1, max_size=5), threads=st.sampled_from([1, 2, 3]))
def test_logits_are_bit_equal_for_any_chunks_and_threads(loaded: LoadedModel, cuts: list[int], threads: int) -> None:
    from starcoder_ls.engine.runner.kernels import adapter as kernel

    loaded.runner.threads = 1
    expected = forward_all(loaded, "own")
    cache, start = KvCache(loaded.runner.layers, 8), 0
    loaded.runner.threads = threads
    try:
        for size in cuts:
            if part := IDS[start : start + size]:
                logits = manual_decoding.forward_all(loaded.runner, part, cache, find(loaded, "own"))
                assert torch.equal(logits, expected[start : start + len(part)])
            start += len(part)
    finally:
        loaded.runner.threads = 1
    assert kernel.MIN_PARALLEL_PRODUCTS < 70 * 20 * (128 + 300)  # so the longest chunks used the threads


def test_batched_caches_are_bit_equal_to_each_alone(loaded: LoadedModel) -> None:
    adapter, own_pass = find(loaded, "own"), loaded.runner.compiled_pass
    assert own_pass is not None

    def inputs() -> list[tuple[torch.Tensor, KvCache]]:
        made = []
        for cached, time in ((5, 1), (9, 3), (30, 1), (2, 7)):
            cache = KvCache(loaded.runner.layers, 8)
            manual_decoding.forward(loaded.runner, [IDS[:cached]], cache, adapter)
            made.append((torch.tensor([IDS[cached : cached + time]]), cache))
        return made

    with torch.inference_mode():
        found = own_pass.hidden_states(inputs(), adapter)
        expected = [own_pass.hidden_states([single], adapter)[0] for single in inputs()]
    assert all(map(torch.equal, found, expected))


def test_pass_that_pauses_for_other_adapters_is_bit_equal(loaded: LoadedModel) -> None:
    """The others use the scratch memory of the same adapter, and need more of it; the base is active after the last."""
    cached, adapter, seen = 30, find(loaded, "own"), []
    whole, paused = (KvCache(loaded.runner.layers, 64) for _ in range(2))
    for cache in (whole, paused):
        manual_decoding.forward(loaded.runner, [IDS[:cached]], cache, adapter)
    expected = loaded.runner.run(ForwardPass([IDS[cached:70]], whole, LogitsFor.ALL), adapter).values
    others = {name: forward_all(loaded, name, IDS + IDS) for name in ("own", None)}

    def run_other_passes() -> None:
        seen.append(all(torch.equal(forward_all(loaded, name, IDS + IDS), others[name]) for name in ("own", None)))

    loaded.runner.token_ms = 1e3  # every layer is a slice
    try:
        found = loaded.runner.run(ForwardPass([IDS[cached:70]], paused, LogitsFor.ALL), adapter, run_other_passes)
    finally:
        loaded.runner.token_ms = 0.0
    assert torch.equal(found.values, expected)
    assert seen == [True] * (loaded.runner.layers - 1) != []
    assert loaded.adapters.active is adapter


def test_adapters_switch_and_are_replaced_between_passes(prepare: Prepare, tmp_path: Path) -> None:
    """Each pass has the bits that its adapter gives in a server with no other adapter."""
    case = "starcoder, LoRA"
    loaded, first = prepare(case)[0], forward_all(prepare(case)[0], "own")
    base = loaded.checkpoint.folder
    path = adapter_fixtures.save_random_adapter(base, tmp_path / "second", CASES[case][1], seed=6)
    second, plain = forward_all(load_with(base, own=path), "own"), forward_all(loaded, None)
    assert distance(first, second) > 100 * CLOSE
    other = prepare_adapter(Adapter(path=str(path)), True, ignore_progress)
    loaded.adapters.add("other", other)
    for name, logits in (("other", second), ("own", first), (None, plain), ("other", second)):
        assert torch.equal(forward_all(loaded, name), logits)
    loaded.adapters.remove("other")
    replaced = loaded.adapters.add("changing", prepare_adapter(adapter_of(loaded), True, ignore_progress))
    assert torch.equal(forward_all(loaded, "changing"), first)
    loaded.adapters.add("changing", other)
    assert torch.equal(forward_all(loaded, "changing"), second)
    assert replaced is not find(loaded, "changing")
    loaded.adapters.remove("changing")
    assert torch.equal(forward_all(loaded, None), plain)


def adapter_of(loaded: LoadedModel) -> Adapter:
    return Adapter(path=find(loaded, "own").source)


def test_weights_are_released_with_the_adapter_and_not_before(prepare: Prepare) -> None:
    """A request keeps its adapter after ``remove``; its passes read the same weights until it ends."""
    loaded = prepare("starcoder, LoRA")[0]
    own_pass = loaded.runner.compiled_pass
    assert own_pass is not None
    expected, plain = forward_all(loaded, "own"), forward_all(loaded, None)
    adapter = loaded.adapters.add("leaving", prepare_adapter(adapter_of(loaded), True, ignore_progress))
    assert own_pass.can_apply(adapter)
    table: Any = weakref.ref(own_pass._adapter_tables.find(adapter))  # type: ignore[arg-type]
    loaded.adapters.remove("leaving")
    gc.collect()
    cache = KvCache(loaded.runner.layers, len(IDS))
    assert torch.equal(manual_decoding.forward_all(loaded.runner, IDS, cache, adapter), expected)
    assert table() is not None
    loaded.adapters.activate(None)
    del adapter
    gc.collect()
    assert table() is None
    assert torch.equal(forward_all(loaded, None), plain)


def mutant_scale_left_out(table: AdapterTable) -> None:
    """The scaling is part of the second matrix."""
    for weight in table._weights[1::2]:
        weight /= 3


def mutant_next_layer(table: AdapterTable) -> None:
    table.changes[:] = np.roll(table.changes, 1, axis=0)


def mutant_other_matrix(table: AdapterTable) -> None:
    """The changes of the attention's output are made to that of the MLP: the outputs are as many."""
    table.changes[:, [1, 3]] = table.changes[:, [3, 1]]


def mutant_other_part(table: AdapterTable) -> None:
    table.changes[..., table._kernel.FIRST_OUTPUT] += 64 * (table.changes[..., table._kernel.FIRST_OUTPUT] > 0)


def mutant_without_non_linearity(table: AdapterTable) -> None:
    table.changes[..., table._kernel.NON_LINEARITY] = 0


def mutant_transposed(table: AdapterTable) -> None:
    for weight in table._weights[::2]:
        weight.copy_(weight.T.contiguous().view(weight.shape))


def mutant_first_rank_only(table: AdapterTable) -> None:
    table.changes[..., table._kernel.RANK] -= table.changes[..., table._kernel.RANK] > 1


def mutant_one_input_for_both(table: AdapterTable) -> None:
    """The input of the second matrix is that of the first too."""
    table.changes[:, 2, 0, table._kernel.END_BLOCK] = 0


MUTANTS: list[tuple[str, Callable[[AdapterTable], None]]] = [
    ("starcoder, LoRA", mutant_scale_left_out),
    ("starcoder, LoRA", mutant_next_layer),
    ("starcoder, AdapterP", mutant_other_matrix),
    ("qwen2, LoRA", mutant_other_part),
    ("starcoder, Parallel", mutant_without_non_linearity),
    ("starcoder, LoRA", mutant_transposed),
    ("starcoder, Parallel", mutant_first_rank_only),
    ("qwen2, AdapterH", mutant_one_input_for_both),
]


@pytest.mark.parametrize(("case", "mutant"), MUTANTS)
def test_mutant_of_a_table_changes_logits(case: str, mutant: Callable[[AdapterTable], None], prepare: Prepare) -> None:
    loaded, expected = prepare(case)
    own_pass, adapter = loaded.runner.compiled_pass, find(loaded, "own")
    assert own_pass is not None
    tables = own_pass._adapter_tables
    tables._tables[adapter] = tables._build(adapter)
    table = tables.find(adapter)
    assert table is not None
    assert distance(forward_all(loaded, "own"), expected) < CLOSE
    weights = [weight.clone() for weight in table._weights]
    mutant(table)
    try:
        assert distance(forward_all(loaded, "own"), expected) > 10 * CLOSE
    finally:
        tables._tables.pop(adapter)
        for weight, saved in zip(table._weights, weights, strict=True):
            weight.copy_(saved)  # some are the adapter's own
