"""The pass that a graph holds is the ordinary pass, whatever else lies in the seats; what would break it is noticed."""

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

import adapters as made
from starcoder_ls.engine.adapters.virtual_tokens import VirtualTokens
from starcoder_ls.engine.cuda_graphs import gqa_attention, static_pass
from starcoder_ls.engine.cuda_graphs.buckets import Bucket
from starcoder_ls.engine.cuda_graphs.static_pass import StaticPass
from starcoder_ls.engine.kv_cache.cache import KvCache
from starcoder_ls.engine.kv_cache.static_kv import SPARE_TOKENS, StaticKv
from starcoder_ls.engine.loading.load_model import Loaded
from starcoder_ls.engine.model_shape import activation_type, key_value_shape
from starcoder_ls.engine.runner import model_forward
from tape import Tape, Waits

FAMILIES = ["starcoder", "santacoder", "starcoder2", "llama", "qwen2"]
IDS = torch.randint(20, 600, (16, 256), generator=torch.Generator().manual_seed(7)).tolist()
TOKENS = 64
EXACT = 1e-9

Sequences = Sequence[tuple[int, int]]
"""(tokens read, new tokens) of each that takes part."""


@pytest.fixture(params=FAMILIES)
def loaded(request: pytest.FixtureRequest, doubled: Callable[[Path], Loaded]) -> Loaded:
    return plain(doubled(request.getfixturevalue(request.param)))


@pytest.fixture
def starcoder_loaded(starcoder: Path, doubled: Callable[[Path], Loaded]) -> Loaded:
    return plain(doubled(starcoder))


def plain(loaded: Loaded) -> Loaded:
    """All through the model's own forward: so is StarCoder's on a GPU."""
    loaded.model.__dict__.pop("lean", None)
    return loaded


def stale(loaded: Loaded, tokens: int = TOKENS) -> StaticKv:
    """Seats in which others sat before."""
    device, dtype = activation_type(loaded.model)
    with torch.inference_mode():
        seats = StaticKv(16, tokens, key_value_shape(loaded.model.config), device, dtype)
        seats._pool.normal_(generator=torch.Generator().manual_seed(3))
    return seats


def logits_of(
    loaded: Loaded,
    shape: Bucket,
    sequences: Sequences,
    virtual: VirtualTokens | None = None,
    tokens: int = TOKENS,
) -> list[torch.Tensor]:
    """What the pass says after each new token: [new, vocabulary] of each sequence."""
    model, seats = loaded.model, stale(loaded, tokens)
    caches = []
    for ids, (read, _) in zip(IDS, sequences, strict=False):
        cache = KvCache(loaded.layers, 8)
        if virtual is not None:
            virtual.write(model, cache)
        model_forward.read(model, [ids[: read + 1]], cache)
        cache.truncate(cache.length - 1)
        caches.append(cache)
    device, dtype = activation_type(model)
    io = StaticPass(model, 16, device, dtype)
    with torch.inference_mode(), gqa_attention.installed_in(model):
        rows = seats.assign(caches, shape.rows)
        new: list[list[int]] = [[]] * shape.rows
        starts = [tokens] * shape.rows
        for row, cache, ids, (read, count) in zip(rows, caches, IDS, sequences, strict=False):
            new[row], starts[row] = ids[read : read + count], cache.length
        io.write_inputs(shape, new, starts)
        io.build(seats, shape)()
        values, likeliest = io.read_outputs(shape)
        best = values[rows[0]].log_softmax(-1).max(-1)
        assert [drawn.id for drawn in likeliest[rows[0]]] == best.indices.tolist()
        assert [drawn.logprob for drawn in likeliest[rows[0]]] == pytest.approx(best.values.tolist())
        return [values[row, :count].clone() for row, (_, count) in zip(rows, sequences, strict=True)]


def largest_difference(loaded: Loaded, shape: Bucket, sequences: Sequences, tokens: int = TOKENS) -> float:
    """Between that and what transformers says of each whole sequence."""
    largest = 0.0
    said = logits_of(loaded, shape, sequences, tokens=tokens)
    for found, ids, (read, count) in zip(said, IDS, sequences, strict=False):
        with torch.inference_mode():
            whole = loaded.model(torch.tensor([ids[: read + count]])).logits[0, read:]
        assert found.shape == whole.shape
        largest = max(largest, float((found - whole).abs().max()))
    return largest


MIXED = ((30, 1), (9, 3), (17, 4), (1, 2))


@pytest.mark.parametrize(
    ("shape", "sequences"),
    [
        (Bucket(1, 1, 64), [(33, 1)]),
        (Bucket(1, 1, 32), [(31, 1)]),
        (Bucket(1, 8, 32), [(24, 8)]),
        (Bucket(1, 8, 32), [(31, 1)]),  # what pads it lies beyond all places that are looked at
        (Bucket(1, 8, 64), [(63, 1)]),  # ... and in part beyond the seat
        (Bucket(1, 4, 16), [(0, 3)]),
        (Bucket(2, 2, 64), [(40, 2)]),
        (Bucket(4, 4, 32), MIXED),
        (Bucket(8, 4, 64), MIXED),
        (Bucket(16, 8, 64), [(3 * n, 1 + n % 8) for n in range(16)]),
    ],
)
def test_each_row_is_as_transformers_reads_it_whole(shape: Bucket, sequences: Sequences, loaded: Loaded) -> None:
    """Also beyond StarCoder2's window of 16 tokens."""
    assert largest_difference(loaded, shape, sequences) < EXACT


def test_what_pads_a_row_stays_within_the_models_positions(starcoder_loaded: Loaded) -> None:
    most = starcoder_loaded.context_tokens
    assert largest_difference(starcoder_loaded, Bucket(1, 8, most), [(most - 1, 1)], most) < EXACT


def test_a_seat_has_as_many_spare_tokens_as_a_row_may_bring() -> None:
    from starcoder_ls.engine.cuda_graphs.buckets import NEW_TOKENS
    from starcoder_ls.engine.scheduling.batcher import SHORT_TOKENS

    assert SPARE_TOKENS == NEW_TOKENS[-1] == SHORT_TOKENS


def test_adapters_take_effect(starcoder: Path, tmp_path: Path, doubled: Callable[..., Loaded]) -> None:
    folders = made.of_every_method(starcoder, tmp_path)
    loaded = plain(doubled(starcoder, 16, folders))
    seen = []
    for name in (None, *folders):
        held = loaded.adapters.named(name)
        loaded.adapters.activate(held)
        virtual = None if held is None else held.prompt
        (found,) = logits_of(loaded, Bucket(1, 4, 64), [(20, 3)], virtual)
        cache = KvCache(loaded.layers, 8)
        if virtual is not None:
            virtual.write(loaded.model, cache)
        expected = model_forward.forward_all(loaded.model, IDS[0][:23], cache)[20:]
        torch.testing.assert_close(found, expected, rtol=0, atol=EXACT)
        seen.append(found)
    for number, one in enumerate(seen):
        assert all(float((one - other).abs().max()) > 1e-3 for other in seen[:number]), "each says something else"


def position_one_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tokens are read as if they stood one place later, and written and masked as they should."""
    monkeypatch.setattr(torch.Tensor, "clamp_max", lambda places, most: (places + 1).clamp(max=most))


def written_one_on(monkeypatch: pytest.MonkeyPatch) -> None:
    exact = static_pass._Layer.__init__
    monkeypatch.setattr(
        static_pass._Layer, "__init__", lambda layer, storage, places, tokens: exact(layer, storage, places + 1, tokens)
    )


def mask_one_on(monkeypatch: pytest.MonkeyPatch) -> None:
    exact = static_pass.causal_mask
    monkeypatch.setattr(static_pass, "causal_mask", lambda positions, *rest: exact(positions + 1, *rest))


def mask_one_short(monkeypatch: pytest.MonkeyPatch) -> None:
    exact = static_pass.causal_mask
    monkeypatch.setattr(static_pass, "causal_mask", lambda positions, *rest: exact((positions - 1).clamp_min(0), *rest))


def stale_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    exact = KvCache.attach_backing
    monkeypatch.setattr(
        KvCache, "attach_backing", lambda cache, storages, _is_there=False: exact(cache, storages, True)
    )


def neighbours_seat(monkeypatch: pytest.MonkeyPatch) -> None:
    exact = StaticKv.layer_views
    monkeypatch.setattr(
        StaticKv, "layer_views", lambda seats, rows: [(keys.roll(1, 0), values) for keys, values in exact(seats, rows)]
    )


def padding_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every new token looks at all that were sent with it, what pads the row included."""
    exact = static_pass.causal_mask
    monkeypatch.setattr(
        static_pass, "causal_mask", lambda positions, *rest: exact(positions[:, -1:].expand_as(positions), *rest)
    )


@pytest.mark.parametrize(
    "mutant",
    [position_one_on, written_one_on, mask_one_on, mask_one_short, stale_keys, neighbours_seat, padding_seen],
)
def test_a_pass_that_is_wrong_by_one_is_found_out(
    mutant: Callable[[pytest.MonkeyPatch], None], loaded: Loaded, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RoPE sees only distances: where all places are one on, it says the same of a sequence that is read at once."""
    mutant(monkeypatch)
    assert largest_difference(loaded, Bucket(4, 4, 64), MIXED) > 1e-3


def test_a_recording_does_the_same_for_other_sequences(loaded: Loaded) -> None:
    """The operations alone, without Python, at fixed addresses; nothing is left in memory that others use."""
    device, dtype = activation_type(loaded.model)
    seats, io, shape = stale(loaded), StaticPass(loaded.model, 16, device, dtype), Bucket(2, 4, 64)
    with torch.inference_mode(), gqa_attention.installed_in(loaded.model):
        io.write_inputs(shape, [[], []], [TOKENS, TOKENS])
        tape = Tape(io.build(seats, shape))
    before = {name: value.clone() for name, value in loaded.model.state_dict().items()}
    for number, (read, count) in enumerate(MIXED):
        cache = KvCache(loaded.layers, 8)
        ids = IDS[number]
        model_forward.read(loaded.model, [ids[: max(read, 1)]], cache)
        with torch.inference_mode():
            (row,) = seats.assign([cache], 2)
            new: list[list[int]] = [[], []]
            new[row] = ids[read : read + count]
            io.write_inputs(shape, new, [read if at == row else TOKENS for at in range(2)])
            tape.replay()
            found = io.read_outputs(shape)[0][row, :count]
            whole = loaded.model(torch.tensor([ids[: read + count]])).logits[0, read:]
        assert float((found - whole).abs().max()) < EXACT
    assert all(torch.equal(value, before[name]) for name, value in loaded.model.state_dict().items())


@pytest.mark.parametrize("waits", [
    lambda x: x.sum().item(), lambda x: bool((x > 0).any()), lambda x: x[x > 0], lambda x: x.nonzero(),
    lambda x: x + torch.tensor([1.0, 2.0]),
])  # fmt: skip
def test_a_tape_refuses_what_a_graph_could_not_hold(waits: Callable[[torch.Tensor], object]) -> None:
    x = torch.ones(2)
    with torch.inference_mode(), pytest.raises(Waits):
        Tape(lambda: waits(x))  # type: ignore[arg-type, return-value]


class _Devices(TorchDispatchMode):
    """Where the tensors of every operation are."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[str] = set()
        self.types: dict[str, set[torch.dtype]] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        answer = func(*args, **(kwargs or {}))
        tensors = [leaf for leaf in tree_leaves((args, kwargs, answer)) if isinstance(leaf, torch.Tensor)]
        self.seen |= {tensor.device.type for tensor in tensors}
        made = {leaf.dtype for leaf in tree_leaves(answer) if isinstance(leaf, torch.Tensor)}
        self.types.setdefault(func._schema.name, set()).update(made)
        return answer


def without_numbers(config: Any) -> Any:
    with torch.device("meta"):
        model = getattr(transformers, type(config).__name__.replace("Config", "ForCausalLM"))(config)
    return model.to(torch.bfloat16).eval().requires_grad_(False)


def moved(model: Any, device: str) -> None:
    """What has no numbers has none there either."""
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
def test_a_pass_stays_on_its_device_and_asks_it_nothing(family: str, device: str) -> None:
    """Tensors without numbers: whatever would read one raises. On CUDA of a build that knows it, without a GPU."""
    if device == "cuda" and not torch.backends.cuda.is_built():
        pytest.skip("this torch is built without CUDA")
    model = without_numbers(CONFIGS[family])
    with torch.inference_mode(), FakeTensorMode() if device == "cuda" else contextlib.nullcontext():
        moved(model, device)
        where = model.get_input_embeddings().weight.device
        seats = StaticKv(16, 2048, key_value_shape(model.config), where, torch.bfloat16)
        io = StaticPass(model, 16, where, torch.bfloat16)
        for shape in (Bucket(1, 1, 2048), Bucket(1, 8, 512), Bucket(16, 4, 1024)):
            function = io.build(seats, shape)
            with gqa_attention.installed_in(model), _Devices() as devices:
                function()
            assert devices.seen == {device}
            assert devices.types["aten::softmax"] == {torch.float32}
            assert devices.types["aten::log_softmax"] == {torch.float32}
