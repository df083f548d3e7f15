"""A static pass computes what the model's own forward computes, whatever the other rows contain."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import adapter_fixtures
import manual_decoding
from starcoder_ls.engine.adapters.resident_adapters import ResidentAdapter
from starcoder_ls.engine.cuda_graphs import gqa_attention, static_pass
from starcoder_ls.engine.cuda_graphs.buckets import Bucket
from starcoder_ls.engine.cuda_graphs.static_pass import StaticPass
from starcoder_ls.engine.generation.loaded_model import LoadedModel
from starcoder_ls.engine.kv_cache.cache import KvCache
from starcoder_ls.engine.kv_cache.static_kv import SPARE_TOKENS, StaticKv
from starcoder_ls.engine.model_shape import activation_type, key_value_shape
from tape import Tape, WaitsForDevice

FAMILIES = ["starcoder", "santacoder", "starcoder2", "llama", "qwen2"]
IDS = torch.randint(20, 600, (16, 256), generator=torch.Generator().manual_seed(7)).tolist()
TOKENS = 64
EXACT = 1e-9

Sequences = Sequence[tuple[int, int]]
"""(cached tokens, new tokens) of each sequence in the pass."""


@pytest.fixture(params=FAMILIES)
def loaded(request: pytest.FixtureRequest, doubled: Callable[[Path], LoadedModel]) -> LoadedModel:
    return without_cpu_forward(doubled(request.getfixturevalue(request.param)))


@pytest.fixture
def starcoder_loaded(starcoder: Path, doubled: Callable[[Path], LoadedModel]) -> LoadedModel:
    return without_cpu_forward(doubled(starcoder))


def without_cpu_forward(loaded: LoadedModel) -> LoadedModel:
    """Use the model's own forward, as on a GPU."""
    manual_decoding.use_transformers_forward(loaded.runner)
    return loaded


def used_static_kv(loaded: LoadedModel, tokens: int = TOKENS) -> StaticKv:
    """Return rows that contain states of earlier sequences."""
    device, dtype = activation_type(loaded.runner.model)
    with torch.inference_mode():
        static_kv = StaticKv(16, tokens, key_value_shape(loaded.runner.model.config), device, dtype)
        static_kv._pool.normal_(generator=torch.Generator().manual_seed(3))
    return static_kv


def logits_of(
    loaded: LoadedModel,
    bucket: Bucket,
    sequences: Sequences,
    adapter: ResidentAdapter | None = None,
    tokens: int = TOKENS,
) -> list[torch.Tensor]:
    """Return the logits of the pass after each new token: [new, vocabulary] for each sequence."""
    model, static_kv = loaded.runner.model, used_static_kv(loaded, tokens)
    caches = []
    for ids, (cached, _) in zip(IDS, sequences, strict=False):
        cache = KvCache(loaded.runner.layers, 8)
        if adapter is not None and adapter.virtual_tokens is not None:
            loaded.runner.write_virtual_tokens(adapter, cache)
        manual_decoding.read(loaded.runner, [ids[: cached + 1]], cache, adapter)
        cache.truncate(cache.length - 1)
        caches.append(cache)
    device, dtype = activation_type(model)
    model_pass = StaticPass(model, 16, device, dtype)
    with torch.inference_mode(), gqa_attention.installed_in(model):
        rows = static_kv.assign(caches, bucket.rows)
        new: list[list[int]] = [[]] * bucket.rows
        starts = [tokens] * bucket.rows
        for row, cache, ids, (cached, count) in zip(rows, caches, IDS, sequences, strict=False):
            new[row], starts[row] = ids[cached : cached + count], cache.length
        model_pass.write_inputs(bucket, new, starts)
        model_pass.build(static_kv, bucket)()
        values, likeliest = model_pass.read_outputs(bucket)
        best = values[rows[0]].log_softmax(-1).max(-1)
        assert [token.id for token in likeliest[rows[0]]] == best.indices.tolist()
        assert [token.logprob for token in likeliest[rows[0]]] == pytest.approx(best.values.tolist())
        return [values[row, :count].clone() for row, (_, count) in zip(rows, sequences, strict=True)]


def largest_difference(loaded: LoadedModel, bucket: Bucket, sequences: Sequences, tokens: int = TOKENS) -> float:
    """Return the largest difference from the logits of transformers for each whole sequence."""
    largest = 0.0
    results = logits_of(loaded, bucket, sequences, tokens=tokens)
    for result, ids, (cached, count) in zip(results, IDS, sequences, strict=False):
        with torch.inference_mode():
            expected = loaded.runner.model(torch.tensor([ids[: cached + count]])).logits[0, cached:]
        assert result.shape == expected.shape
        largest = max(largest, float((result - expected).abs().max()))
    return largest


MIXED = ((30, 1), (9, 3), (17, 4), (1, 2))


@pytest.mark.parametrize(
    ("bucket", "sequences"),
    [
        (Bucket(1, 1, 64), [(33, 1)]),
        (Bucket(1, 1, 32), [(31, 1)]),
        (Bucket(1, 8, 32), [(24, 8)]),
        (Bucket(1, 8, 32), [(31, 1)]),  # the padding lies after all positions attended to
        (Bucket(1, 8, 64), [(63, 1)]),  # ... and in part after the row
        (Bucket(1, 4, 16), [(0, 3)]),
        (Bucket(1, 16, 64), [(40, 9)]),
        (Bucket(1, 32, 64), [(30, 32)]),
        (Bucket(1, 32, 64), [(60, 4)]),  # 28 tokens of padding lie after the row
        (Bucket(2, 2, 64), [(40, 2)]),
        (Bucket(4, 4, 32), MIXED),
        (Bucket(8, 4, 64), MIXED),
        (Bucket(16, 8, 64), [(3 * n, 1 + n % 8) for n in range(16)]),
    ],
)
def test_each_row_agrees_with_transformers(bucket: Bucket, sequences: Sequences, loaded: LoadedModel) -> None:
    """Also for sequences longer than StarCoder2's window of 16 tokens."""
    assert largest_difference(loaded, bucket, sequences) < EXACT


def test_padding_stays_within_the_positions_of_the_model(starcoder_loaded: LoadedModel) -> None:
    context_tokens = starcoder_loaded.context_tokens
    assert (
        largest_difference(starcoder_loaded, Bucket(1, 8, context_tokens), [(context_tokens - 1, 1)], context_tokens)
        < EXACT
    )


def test_rows_have_as_many_spare_tokens_as_a_pass_reads() -> None:
    from starcoder_ls.engine.cuda_graphs.buckets import LONG_NEW_TOKEN_COUNTS, NEW_TOKEN_COUNTS
    from starcoder_ls.engine.scheduling.batcher import MAX_SHARED_PASS_TOKENS

    assert LONG_NEW_TOKEN_COUNTS[-1] == SPARE_TOKENS
    assert NEW_TOKEN_COUNTS[-1] == MAX_SHARED_PASS_TOKENS


def test_each_adapter_changes_the_logits(starcoder: Path, tmp_path: Path, doubled: Callable[..., LoadedModel]) -> None:
    folders = adapter_fixtures.save_adapter_of_each_method(starcoder, tmp_path)
    loaded = without_cpu_forward(doubled(starcoder, 16, folders))
    results = []
    for name in (None, *folders):
        adapter = loaded.adapters.find(name)
        (result,) = logits_of(loaded, Bucket(1, 4, 64), [(20, 3)], adapter)
        cache = manual_decoding.cache_with_virtual_tokens(loaded, adapter, 8)
        expected = manual_decoding.forward_all(loaded.runner, IDS[0][:23], cache, adapter)[20:]
        torch.testing.assert_close(result, expected, rtol=0, atol=EXACT)
        results.append(result)
    for number, logits in enumerate(results):
        assert all(float((logits - other).abs().max()) > 1e-3 for other in results[:number]), (
            "each gives different logits"
        )


def mutant_position_plus_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Position embeddings are those of the next position; states and mask are correct."""
    monkeypatch.setattr(
        torch.Tensor, "clamp_max", lambda positions, context_tokens: (positions + 1).clamp(max=context_tokens)
    )


def mutant_written_plus_one(monkeypatch: pytest.MonkeyPatch) -> None:
    exact = static_pass._Layer.__init__
    monkeypatch.setattr(
        static_pass._Layer,
        "__init__",
        lambda layer, storage, positions, tokens: exact(layer, storage, positions + 1, tokens),
    )


def mutant_mask_plus_one(monkeypatch: pytest.MonkeyPatch) -> None:
    exact = static_pass.causal_mask
    monkeypatch.setattr(static_pass, "causal_mask", lambda positions, *rest: exact(positions + 1, *rest))


def mutant_mask_minus_one(monkeypatch: pytest.MonkeyPatch) -> None:
    exact = static_pass.causal_mask
    monkeypatch.setattr(static_pass, "causal_mask", lambda positions, *rest: exact((positions - 1).clamp_min(0), *rest))


def mutant_stale_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    exact = KvCache.attach_backing
    monkeypatch.setattr(
        KvCache, "attach_backing", lambda cache, storages, _is_there=False: exact(cache, storages, True)
    )


def mutant_keys_of_neighbor(monkeypatch: pytest.MonkeyPatch) -> None:
    exact = StaticKv.layer_views
    monkeypatch.setattr(
        StaticKv,
        "layer_views",
        lambda static_kv, rows: [(keys.roll(1, 0), values) for keys, values in exact(static_kv, rows)],
    )


def mutant_padding_visible(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every new token attends to all tokens of its row, padding included."""
    exact = static_pass.causal_mask
    monkeypatch.setattr(
        static_pass, "causal_mask", lambda positions, *rest: exact(positions[:, -1:].expand_as(positions), *rest)
    )


@pytest.mark.parametrize(
    "mutant",
    [
        mutant_position_plus_one,
        mutant_written_plus_one,
        mutant_mask_plus_one,
        mutant_mask_minus_one,
        mutant_stale_keys,
        mutant_keys_of_neighbor,
        mutant_padding_visible,
    ],
)
def test_comparison_detects_mutants(
    mutant: Callable[[pytest.MonkeyPatch], None], loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RoPE depends on distances only, so a whole sequence shifted by one position would give equal logits."""
    mutant(monkeypatch)
    assert largest_difference(loaded, Bucket(4, 4, 64), MIXED) > 1e-3


def test_replay_agrees_with_transformers_for_other_sequences(loaded: LoadedModel) -> None:
    """The tape replays operations at fixed addresses, without Python, and overwrites temporary memory."""
    device, dtype = activation_type(loaded.runner.model)
    static_kv, model_pass, bucket = (
        used_static_kv(loaded),
        StaticPass(loaded.runner.model, 16, device, dtype),
        Bucket(2, 4, 64),
    )
    with torch.inference_mode(), gqa_attention.installed_in(loaded.runner.model):
        model_pass.write_inputs(bucket, [[], []], [TOKENS, TOKENS])
        tape = Tape(model_pass.build(static_kv, bucket))
    before = {name: value.clone() for name, value in loaded.runner.model.state_dict().items()}
    for number, (cached, count) in enumerate(MIXED):
        cache = KvCache(loaded.runner.layers, 8)
        ids = IDS[number]
        manual_decoding.read(loaded.runner, [ids[: max(cached, 1)]], cache)
        with torch.inference_mode():
            (row,) = static_kv.assign([cache], 2)
            new: list[list[int]] = [[], []]
            new[row] = ids[cached : cached + count]
            model_pass.write_inputs(bucket, new, [cached if at == row else TOKENS for at in range(2)])
            tape.replay()
            result = model_pass.read_outputs(bucket)[0][row, :count]
            expected = loaded.runner.model(torch.tensor([ids[: cached + count]])).logits[0, cached:]
        assert float((result - expected).abs().max()) < EXACT
    assert all(torch.equal(value, before[name]) for name, value in loaded.runner.model.state_dict().items())


@pytest.mark.parametrize("operation", [
    lambda x: x.sum().item(), lambda x: bool((x > 0).any()), lambda x: x[x > 0], lambda x: x.nonzero(),
    lambda x: x + torch.tensor([1.0, 2.0]),
])  # fmt: skip
def test_tape_rejects_operations_that_wait_for_the_device(operation: Callable[[torch.Tensor], object]) -> None:
    x = torch.ones(2)
    with torch.inference_mode(), pytest.raises(WaitsForDevice):
        Tape(lambda: operation(x))  # type: ignore[arg-type, return-value]


class _DeviceRecorder(TorchDispatchMode):
    """Records the devices of the tensors of all operations, and the types of their results."""

    def __init__(self) -> None:
        super().__init__()
        self.devices: set[str] = set()
        self.types: dict[str, set[torch.dtype]] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        answer = func(*args, **(kwargs or {}))
        tensors = [leaf for leaf in tree_leaves((args, kwargs, answer)) if isinstance(leaf, torch.Tensor)]
        self.devices |= {tensor.device.type for tensor in tensors}
        made = {leaf.dtype for leaf in tree_leaves(answer) if isinstance(leaf, torch.Tensor)}
        self.types.setdefault(func._schema.name, set()).update(made)
        return answer


def model_on_meta(config: Any) -> Any:
    with torch.device("meta"):
        model = getattr(transformers, type(config).__name__.replace("Config", "ForCausalLM"))(config)
    return model.to(torch.bfloat16).eval().requires_grad_(False)


def move_without_data(model: Any, device: str) -> None:
    """Replace all tensors by uninitialized ones on ``device``."""
    for module in model.modules():
        for name, weight in module._parameters.items():
            if weight is not None:
                made = torch.empty(weight.shape, dtype=weight.dtype, device=device)
                module._parameters[name] = torch.nn.Parameter(made, requires_grad=False)
        for name, buffer in module._buffers.items():
            if buffer is not None:
                module._buffers[name] = torch.empty(buffer.shape, dtype=buffer.dtype, device=device)


CONFIGS = {
    "starcoder": transformers.GPTBigCodeConfig(
        n_layer=2, n_embd=256, n_head=4, n_inner=512, n_positions=2048, vocab_size=640, bos_token_id=0, eos_token_id=0,
        multi_query=True, activation_function="gelu_pytorch_tanh",
    ),
    "starcoder2": transformers.Starcoder2Config(
        num_hidden_layers=2, hidden_size=256, num_attention_heads=4, num_key_value_heads=2, intermediate_size=512,
        max_position_embeddings=2048, sliding_window=1024, vocab_size=640, bos_token_id=0, eos_token_id=0,
    ),
}  # fmt: skip


@pytest.mark.parametrize("device", ["meta", "cuda"])
@pytest.mark.parametrize("family", CONFIGS)
def test_pass_stays_on_its_device_and_never_waits(family: str, device: str) -> None:
    """Tensors without data: reading a value raises. "cuda" needs a torch built with CUDA, and no GPU."""
    if device == "cuda" and not torch.backends.cuda.is_built():
        pytest.skip("this torch is built without CUDA")
    model = model_on_meta(CONFIGS[family])
    with torch.inference_mode(), FakeTensorMode() if device == "cuda" else contextlib.nullcontext():
        move_without_data(model, device)
        target_device = model.get_input_embeddings().weight.device
        static_kv = StaticKv(16, 2048, key_value_shape(model.config), target_device, torch.bfloat16)
        model_pass = StaticPass(model, 16, target_device, torch.bfloat16)
        for bucket in (Bucket(1, 1, 2048), Bucket(1, 8, 512), Bucket(16, 4, 1024)):
            function = model_pass.build(static_kv, bucket)
            with gqa_attention.installed_in(model), _DeviceRecorder() as recorder:
                function()
            assert recorder.devices == {device}
            assert recorder.types["aten::softmax"] == {torch.float32}
            assert recorder.types["aten::log_softmax"] == {torch.float32}
