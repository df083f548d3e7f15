"""CUDA graphs on a CUDA device: replays agree with plain passes, memory is freed, failed captures have no effect.

tests/engine/cuda_graphs/test_registry.py has all tests that need no device.
"""

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
from starcoder_ls.engine.cuda_graphs.registry import GraphRegistry
from starcoder_ls.engine.cuda_graphs.verification import TOLERANCE, TOLERANCES
from starcoder_ls.engine.forward_pass import ForwardPass, LogitsFor
from starcoder_ls.engine.generation.loaded_model import LoadedModel
from starcoder_ls.engine.kv_cache.cache import KvCache
from starcoder_ls.engine.loading.progress import ignore_progress
from starcoder_ls.settings import Adapter, Model

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here"),
]

IDS = torch.randint(20, 600, (16, 4096), generator=torch.Generator().manual_seed(9)).tolist()
WEIGHT_STD = 0.1


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    # With 0.3 at a width of 512, the rounding of 16-bit types changes every generated token.
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


def load_model(folder: Path, dtype: str = "bfloat16", adapters: dict[str, Path] | None = None) -> LoadedModel:
    adapter_settings = {name: Adapter(path=str(path)) for name, path in (adapters or {}).items()}
    loaded = load(Model(name=str(folder), device="cuda", dtype=dtype), ignore_progress, adapter_settings)  # type: ignore[arg-type]
    assert loaded.runner.graphs is not None
    return loaded


def graphs_in(loaded: LoadedModel) -> GraphRegistry:
    assert loaded.runner.graphs is not None
    return loaded.runner.graphs


def capture_pending(graphs: GraphRegistry) -> None:
    graphs.capture_while(lambda _seconds: True)


def prefill(loaded: LoadedModel, number: int, tokens: int, adapter: Any = None) -> KvCache:
    cache = KvCache(loaded.runner.layers, tokens + 40)
    for start in range(0, tokens, 512):
        manual_decoding.read(loaded.runner, [IDS[number][start : min(tokens, start + 512)]], cache, adapter)
    return cache


def build_passes(caches: list[KvCache], new_counts: list[int]) -> list[ForwardPass]:
    return [
        ForwardPass([IDS[number][cache.length : cache.length + new]], cache, LogitsFor.ALL)
        for number, (cache, new) in enumerate(zip(caches, new_counts, strict=True))
    ]


def run_passes(loaded: LoadedModel, passes: list[ForwardPass], adapter: Any = None) -> list[torch.Tensor]:
    return [logits.values for logits in loaded.runner.run_batch(passes, adapter)]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_replay_agrees_with_plain_pass_in_every_bucket(dtype: str, folder: Path) -> None:
    loaded = load_model(folder, dtype)
    graphs = graphs_in(loaded)
    tolerance = TOLERANCES.get(loaded.placement.dtype, TOLERANCE)
    replays_seen = 0
    for rows, new_tokens, end in [(1, n, end) for n in buckets.NEW_TOKEN_COUNTS for end in (500, 1000, 2000, 3000)] + [
        (rows, n, 480) for rows in (2, 3, 8, 16) for n in (1, 3, 8)
    ]:
        caches = [prefill(loaded, number, end - 5 * number - 30) for number in range(rows)]
        new_counts = [1 + (new_tokens - 1) * (number == 0) for number in range(rows)]
        for attempt in range(4):  # without a graph, verified, replayed, replayed
            capture_pending(graphs)
            starts = [cache.length for cache in caches]
            before = graphs.statistics.replays
            results = run_passes(loaded, build_passes(caches, new_counts))
            replays_seen += graphs.statistics.replays - before
            loaded.runner.graphs = None
            for cache, start in zip(caches, starts, strict=True):
                cache.truncate(start)
            plain = run_passes(loaded, build_passes(caches, new_counts))
            loaded.runner.graphs = graphs
            for result, expected in zip(results, plain, strict=True):
                assert float((result - expected).abs().max()) <= tolerance * float(expected.std()), (
                    rows,
                    new_tokens,
                    end,
                    attempt,
                )
    assert replays_seen >= 2 * (16 + 12)
    assert graphs.statistics.rejected == {}


def test_replay_returns_likeliest_tokens_with_logprobs(folder: Path) -> None:
    loaded = load_model(folder)
    graphs = graphs_in(loaded)
    capture_pending(graphs)
    cache = prefill(loaded, 0, 300)
    for _ in range(3):
        logits = loaded.runner.run(ForwardPass([IDS[0][cache.length : cache.length + 4]], cache, LogitsFor.ALL))
        logprobs = logits.values.double().log_softmax(-1)
        for row, token in enumerate(logits.greedy()):
            assert token.id == int(logits.values[row].argmax())
            assert token.logprob == pytest.approx(float(logprobs[row, token.id]), abs=1e-3)
    assert graphs.statistics.replays == 2


def test_replays_allocate_no_memory(folder: Path) -> None:
    loaded = load_model(folder)
    graphs = graphs_in(loaded)
    capture_pending(graphs)
    cache = prefill(loaded, 0, 300)
    for count in range(1200):
        if count == 200:
            torch.cuda.synchronize()
            allocated = torch.cuda.memory_allocated()
        if cache.length > 480:
            cache.truncate(300)
        run_passes(loaded, build_passes([cache], [1 + count % 8]))
    assert graphs.statistics.replays > 1100
    assert torch.cuda.memory_allocated() == allocated


def test_disabling_graphs_frees_their_memory(folder: Path) -> None:
    loaded = load_model(folder)
    graphs = graphs_in(loaded)
    before = torch.cuda.memory_allocated()
    capture_pending(graphs)
    assert len(graphs.statistics.capture_ms) == 12
    assert max(list(graphs.statistics.capture_ms.values())[1:]) < 2000
    assert torch.cuda.memory_allocated() - before >= graphs.bytes
    cache = prefill(loaded, 0, 300)
    run_passes(loaded, build_passes([cache], [1]))
    run_passes(loaded, build_passes([cache], [1]))
    assert cache.is_view
    graph_bytes, allocated = graphs.bytes, torch.cuda.memory_allocated()
    graphs.disable("the test frees its memory")
    del cache
    gc.collect()
    assert allocated - torch.cuda.memory_allocated() >= 0.9 * graph_bytes
    assert graphs.bytes == 0
    other_cache = prefill(loaded, 1, 300)
    assert run_passes(loaded, build_passes([other_cache], [2]))[0].shape[0] == 2


def test_each_adapter_is_replayed_through_its_own_graph(folders: dict[str, Path], tmp_path: Path) -> None:
    loaded = load_model(
        folders["starcoder"], "float32", adapter_fixtures.save_adapter_of_each_method(folders["starcoder"], tmp_path)
    )
    graphs = graphs_in(loaded)
    logits_by_adapter: dict[str | None, torch.Tensor] = {}
    for _ in range(3):
        for name in (None, "lora", "parallel", None, "ia3"):
            adapter = loaded.adapters.find(name)
            cache = prefill(loaded, 0, 100, adapter)
            (logits,) = run_passes(loaded, build_passes([cache], [3]), adapter)
            expected = logits_by_adapter.setdefault(name, logits)
            assert float((logits - expected).abs().max()) <= 1e-2 * float(expected.std())
        capture_pending(graphs)
    assert graphs.statistics.replays >= 4
    for first, second in ((None, "lora"), ("lora", "parallel")):
        logits, other = logits_by_adapter[first], logits_by_adapter[second]
        assert float((logits - other).abs().max()) > float(logits.std())


@pytest.mark.parametrize(
    "operation",
    [
        lambda x: x.sum().item(),
        lambda x: x.nonzero(),
        lambda x: x + torch.ones(1).to(x.device),  # a copy from memory that is not pinned waits
        lambda _x: 1 / 0,
        lambda _x: torch.cuda.is_current_stream_capturing() and torch.cuda.synchronize(),  # passes the warm-up
    ],
)
def test_capture_works_after_a_capture_that_failed(operation: Callable[[torch.Tensor], object]) -> None:
    device = torch.device("cuda", torch.cuda.current_device())
    capture, x = CudaCapture(device), torch.ones(4, device=device)

    def add() -> None:
        x.add_(1)

    with pytest.raises((RuntimeError, ZeroDivisionError)):
        capture(lambda: operation(x))  # type: ignore[arg-type, return-value]
    torch.cuda.empty_cache()  # asserts that no capture is underway
    graph = capture(add)
    before = float(x[0])
    graph.replay()
    assert float(x[0]) == before + 1


def test_pool_is_replaced_after_its_last_graph_was_deleted() -> None:
    device = torch.device("cuda", torch.cuda.current_device())
    capture, x = CudaCapture(device), torch.ones(4, device=device)
    for count in range(3):
        graph: Any = capture(lambda: x.copy_(x * 2 - x + 1))  # type: ignore[arg-type, return-value]
        before = float(x[0])
        graph.replay()
        assert float(x[0]) == before + 1, count
        del graph
        gc.collect()
        torch.cuda.empty_cache()


def test_model_that_waits_for_the_device_runs_without_graphs(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    loaded = load_model(folder)
    first = next(module for module in loaded.runner.model.modules() if isinstance(module, torch.nn.Linear))
    first.register_forward_hook(lambda _module, _args, output: None if output.isfinite().all() else output)
    with caplog.at_level(logging.WARNING, logger="starcoder_ls"):
        capture_pending(graphs_in(loaded))
    assert "cannot be captured" in caplog.text
    assert len(caplog.records) == 1
    cache = prefill(loaded, 0, 100)
    assert run_passes(loaded, build_passes([cache], [3]))[0].isfinite().all()


@pytest.mark.perf
def test_replay_is_faster_than_plain_pass(folders: dict[str, Path]) -> None:
    loaded = load_model(folders["starcoder"])
    graphs = graphs_in(loaded)
    capture_pending(graphs)

    def measure_s() -> float:
        cache = prefill(loaded, 0, 300)
        run_passes(loaded, build_passes([cache], [1]))
        torch.cuda.synchronize()
        started_s = time.perf_counter()
        for _ in range(50):
            run_passes(loaded, build_passes([cache], [1]))
        torch.cuda.synchronize()
        return time.perf_counter() - started_s

    measure_s()
    replayed_s = measure_s()
    loaded.runner.graphs = None
    assert measure_s() > 1.5 * replayed_s
