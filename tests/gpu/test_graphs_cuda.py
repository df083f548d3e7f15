"""CUDA graphs on a device that has them: a replay is the plain pass, memory comes and goes, and a bad capture harms
nothing. tests/engine/cuda_graphs/test_registry.py has the rest, without a device."""

from __future__ import annotations

import gc
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import adapter_fixtures
import checkpoints
import manual_decoding
from starcoder_ls.engine.assembly import load
from starcoder_ls.engine.cuda_graphs import buckets
from starcoder_ls.engine.cuda_graphs.capture import CudaCapture
from starcoder_ls.engine.cuda_graphs.registry import TOLERANCE, TOLERANCES, GraphRegistry
from starcoder_ls.engine.forward_pass import ForwardPass, LogitsFor
from starcoder_ls.engine.generation.loaded_model import LoadedModel
from starcoder_ls.engine.kv_cache.cache import KvCache
from starcoder_ls.settings import Adapter, Model

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here"),
]

IDS = torch.randint(20, 600, (16, 4096), generator=torch.Generator().manual_seed(9)).tolist()


WEIGHT_STD = 0.1


def nothing(_fraction: float, _sentence: str) -> None:
    """A report that nobody reads."""


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    # 0.3 at a width of 512 makes a model that says something else after every rounding of 16 bits.
    sizes = {"weight_std": WEIGHT_STD, "n_layer": 4, "n_embd": 512, "n_head": 8, "n_inner": 1024, "n_positions": 4096}
    others = {
        "weight_std": WEIGHT_STD,
        "num_hidden_layers": 4,
        "hidden_size": 512,
        "num_attention_heads": 8,
        "intermediate_size": 1024,
    }
    return {
        "starcoder": checkpoints.gpt_bigcode(folder / "starcoder", **sizes),
        "starcoder2": checkpoints.starcoder2(
            folder / "starcoder2", **others, max_position_embeddings=4096, sliding_window=700
        ),
    }


@pytest.fixture(params=["starcoder", "starcoder2"])
def folder(request: pytest.FixtureRequest, folders: dict[str, Path]) -> Path:
    return folders[request.param]


def loaded_as(folder: Path, dtype: str = "bfloat16", adapters: dict[str, Path] | None = None) -> LoadedModel:
    wanted = {name: Adapter(path=str(path)) for name, path in (adapters or {}).items()}
    found = load(Model(name=str(folder), device="cuda", dtype=dtype), nothing, wanted)  # type: ignore[arg-type]
    assert found.runner.graphs is not None
    return found


def graphs_of(loaded: LoadedModel) -> GraphRegistry:
    assert loaded.runner.graphs is not None
    return loaded.runner.graphs


def idle(graphs: GraphRegistry) -> None:
    graphs.capture_while(lambda _seconds: True)


def read(loaded: LoadedModel, number: int, tokens: int, adapter: Any = None) -> KvCache:
    cache = KvCache(loaded.runner.layers, tokens + 40)
    for start in range(0, tokens, 512):
        manual_decoding.read(loaded.runner, [IDS[number][start : min(tokens, start + 512)]], cache, adapter)
    return cache


def group(caches: list[KvCache], news: list[int]) -> list[ForwardPass]:
    return [
        ForwardPass([IDS[number][cache.length : cache.length + new]], cache, LogitsFor.ALL)
        for number, (cache, new) in enumerate(zip(caches, news, strict=True))
    ]


def run(loaded: LoadedModel, several: list[ForwardPass], adapter: Any = None) -> list[torch.Tensor]:
    return [answer.values for answer in loaded.runner.run_batch(several, adapter)]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_a_replay_is_the_plain_pass_in_every_shape(dtype: str, folder: Path) -> None:
    loaded = loaded_as(folder, dtype)
    graphs = graphs_of(loaded)
    bound = TOLERANCES.get(loaded.placement.dtype, TOLERANCE)
    replayed = 0
    for rows, time_, end in [(1, n, end) for n in buckets.NEW_TOKEN_COUNTS for end in (500, 1000, 2000, 3000)] + [
        (rows, n, 480) for rows in (2, 3, 8, 16) for n in (1, 3, 8)
    ]:
        caches = [read(loaded, number, end - 5 * number - 30) for number in range(rows)]
        news = [1 + (time_ - 1) * (number == 0) for number in range(rows)]
        for attempt in range(4):  # wanted, proven, replayed, replayed
            idle(graphs)
            starts = [cache.length for cache in caches]
            before = graphs.statistics.replays
            found = run(loaded, group(caches, news))
            replayed += graphs.statistics.replays - before
            loaded.runner.graphs = None
            for cache, start in zip(caches, starts, strict=True):
                cache.truncate(start)
            plain = run(loaded, group(caches, news))
            loaded.runner.graphs = graphs
            for ours, theirs in zip(found, plain, strict=True):
                assert float((ours - theirs).abs().max()) <= bound * float(theirs.std()), (rows, time_, end, attempt)
    assert replayed >= 2 * (16 + 12)
    assert graphs.statistics.rejected == {}


def test_what_a_replay_tells_is_the_likeliest_token(folder: Path) -> None:
    loaded = loaded_as(folder)
    graphs = graphs_of(loaded)
    idle(graphs)
    cache = read(loaded, 0, 300)
    for _ in range(3):
        answer = loaded.runner.run(ForwardPass([IDS[0][cache.length : cache.length + 4]], cache, LogitsFor.ALL))
        logprobs = answer.values.double().log_softmax(-1)
        for row, drawn in enumerate(answer.greedy()):
            assert drawn.id == int(answer.values[row].argmax())
            assert drawn.logprob == pytest.approx(float(logprobs[row, drawn.id]), abs=1e-3)
    assert graphs.statistics.replays == 2


def test_a_thousand_replays_keep_nothing(folder: Path) -> None:
    loaded = loaded_as(folder)
    graphs = graphs_of(loaded)
    idle(graphs)
    cache = read(loaded, 0, 300)
    for count in range(1200):
        if count == 200:
            torch.cuda.synchronize()
            allocated = torch.cuda.memory_allocated()
        if cache.length > 480:
            cache.truncate(300)
        run(loaded, group([cache], [1 + count % 8]))
    assert graphs.statistics.replays > 1100
    assert torch.cuda.memory_allocated() == allocated


def test_recording_takes_moments_and_dropping_gives_memory_back(folder: Path) -> None:
    loaded = loaded_as(folder)
    graphs = graphs_of(loaded)
    before = torch.cuda.memory_allocated()
    idle(graphs)
    assert len(graphs.statistics.capture_ms) == 12
    assert max(list(graphs.statistics.capture_ms.values())[1:]) < 2000
    assert torch.cuda.memory_allocated() - before >= graphs.bytes
    cache = read(loaded, 0, 300)
    run(loaded, group([cache], [1]))
    run(loaded, group([cache], [1]))
    assert cache.is_view
    held, full = graphs.bytes, torch.cuda.memory_allocated()
    graphs.disable("a test wants it back")
    del cache
    gc.collect()
    assert full - torch.cuda.memory_allocated() >= 0.9 * held
    assert graphs.bytes == 0
    fresh = read(loaded, 1, 300)
    assert run(loaded, group([fresh], [2]))[0].shape[0] == 2


def test_adapters_are_heard_through_their_own_graphs(folders: dict[str, Path], tmp_path: Path) -> None:
    loaded = loaded_as(
        folders["starcoder"], "float32", adapter_fixtures.save_adapter_of_each_method(folders["starcoder"], tmp_path)
    )
    graphs = graphs_of(loaded)
    seen: dict[str | None, torch.Tensor] = {}
    for _ in range(3):
        for name in (None, "lora", "parallel", None, "ia3"):
            held = loaded.adapters.find(name)
            cache = read(loaded, 0, 100, held)
            (found,) = run(loaded, group([cache], [3]), held)
            expected = seen.setdefault(name, found)
            assert float((found - expected).abs().max()) <= 1e-2 * float(expected.std())
        idle(graphs)
    assert graphs.statistics.replays >= 4
    assert all(
        float((seen[a] - seen[b]).abs().max()) > float(seen[a].std()) for a, b in [(None, "lora"), ("lora", "parallel")]
    )


@pytest.mark.parametrize(
    "bad",
    [
        lambda x: x.sum().item(),
        lambda x: x.nonzero(),
        lambda x: x + torch.ones(1).to(x.device),  # from memory that the device cannot read by itself
        lambda _x: 1 / 0,
    ],
)
def test_what_cannot_be_captured_raises_and_the_next_capture_works(bad: Callable[[torch.Tensor], object]) -> None:
    device = torch.device("cuda", torch.cuda.current_device())
    capture, x = CudaCapture(device), torch.ones(4, device=device)

    def add() -> None:
        x.add_(1)

    with pytest.raises((RuntimeError, ZeroDivisionError)):
        capture(lambda: bad(x))  # type: ignore[arg-type, return-value]
    recording = capture(add)
    before = float(x[0])
    recording.replay()
    assert float(x[0]) == before + 1


def test_a_pool_whose_graphs_are_gone_is_not_used_again() -> None:
    device = torch.device("cuda", torch.cuda.current_device())
    capture, x = CudaCapture(device), torch.ones(4, device=device)
    for count in range(3):
        recording: Any = capture(lambda: x.copy_(x * 2 - x + 1))  # type: ignore[arg-type, return-value]
        before = float(x[0])
        recording.replay()
        assert float(x[0]) == before + 1, count
        del recording
        gc.collect()
        torch.cuda.empty_cache()


def test_a_model_that_asks_its_device_in_a_pass_goes_on_without_graphs(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    loaded = loaded_as(folder)
    first = next(module for module in loaded.runner.model.modules() if isinstance(module, torch.nn.Linear))
    first.register_forward_hook(lambda _module, _args, output: None if output.isfinite().all() else output)
    with caplog.at_level(logging.WARNING, logger="starcoder_ls"):
        idle(graphs_of(loaded))
    assert "cannot be captured" in caplog.text
    assert len(caplog.records) == 1
    cache = read(loaded, 0, 100)
    assert run(loaded, group([cache], [3]))[0].isfinite().all()


def test_a_replay_is_much_faster_than_the_plain_pass(folders: dict[str, Path]) -> None:
    loaded = loaded_as(folders["starcoder"])
    graphs = graphs_of(loaded)
    idle(graphs)

    def took_s() -> float:
        cache = read(loaded, 0, 300)
        run(loaded, group([cache], [1]))
        torch.cuda.synchronize()
        since_s = time.perf_counter()
        for _ in range(50):
            run(loaded, group([cache], [1]))
        torch.cuda.synchronize()
        return time.perf_counter() - since_s

    took_s()
    replayed_s = took_s()
    loaded.runner.graphs = None
    assert took_s() > 1.5 * replayed_s
