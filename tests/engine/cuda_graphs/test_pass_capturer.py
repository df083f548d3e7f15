"""The fused pass in graphs, with a stand-in for the compiler; test_fused_pass.py has real ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import adapter_fixtures
import manual_decoding
from starcoder_ls.engine.cuda_graphs import buckets
from starcoder_ls.engine.cuda_graphs.fused_pass import FusedPass
from starcoder_ls.engine.cuda_graphs.registry import GraphRegistry
from starcoder_ls.engine.cuda_graphs.static_pass import compute_pass
from starcoder_ls.engine.forward_pass import ForwardPass
from starcoder_ls.engine.generation.loaded_model import LoadedModel
from starcoder_ls.engine.kv_cache.cache import KvCache
from starcoder_ls.generation import Request
from step_scheduler import TEXT, answers_alone
from tape import Tape

FUSED = "Short passes are fused by inductor."


@pytest.fixture(autouse=True)
def small_buckets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(buckets, "MIN_KV_TOKENS", 64)
    monkeypatch.setattr(buckets, "MAX_SHARED_KV_TOKENS", 64)


@pytest.fixture
def loaded(starcoder: Path, doubled: Callable[..., LoadedModel]) -> LoadedModel:
    loaded = doubled(starcoder)
    manual_decoding.use_transformers_forward(loaded.runner)
    return loaded


def use_fused(
    loaded: LoadedModel,
    compiled: Callable[[Any, Any], None],
    monkeypatch: pytest.MonkeyPatch,
    free_bytes: int = 1 << 40,
) -> GraphRegistry:
    """Graphs of ``compiled``, which stands for what the compiler returns; compiled as while the model loads."""
    monkeypatch.setattr(torch, "compile", lambda _function, **_options: compiled)
    graphs = GraphRegistry(
        loaded.runner.model, loaded.adapters, loaded.context_tokens, Tape, lambda: free_bytes, FusedPass()
    )
    loaded.runner.graphs = graphs
    graphs.compile_fused_pass(lambda: None)
    return graphs


def capture_all(graphs: GraphRegistry) -> None:
    graphs.capture_while(lambda _seconds: True)


def answers_with_graphs(loaded: LoadedModel, graphs: GraphRegistry, times: int = 3, **options: Any) -> list[Any]:
    answers = []
    for _ in range(times):
        answers.append(answers_alone(loaded, Request((TEXT,), 12, **options)))
        capture_all(graphs)
    return answers


def test_graphs_of_one_row_contain_the_fused_pass(loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = answers_alone(loaded, Request((TEXT,), 12))
    graphs = use_fused(loaded, compute_pass, monkeypatch)
    graphs.request_graph(buckets.Bucket(2, 1, 64))
    assert answers_with_graphs(loaded, graphs) == [expected] * 3
    assert graphs.statistics.replays > 10
    assert graphs.message == loaded.status_message == FUSED
    assert {key[1].rows: graph.is_fused for key, graph in graphs._graphs.items()} == {1: True, 2: False}


def test_adapters_loaded_by_then_are_fused_too(
    starcoder: Path, doubled: Callable[..., LoadedModel], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = adapter_fixtures.save_adapter_of_each_method(starcoder, tmp_path)
    name = next(iter(folders))
    loaded = doubled(starcoder, 16, {name: folders[name]})
    manual_decoding.use_transformers_forward(loaded.runner)
    expected = answers_alone(loaded, Request((TEXT,), 12, adapter=name))
    graphs = use_fused(loaded, compute_pass, monkeypatch)
    assert answers_with_graphs(loaded, graphs, adapter=name) == [expected] * 3
    (adapter,) = loaded.adapters
    assert adapter.layers_key is not None
    assert all(graph.is_fused for key, graph in graphs._graphs.items() if key[0] == adapter.key)
    assert adapter.key in {key[0] for key in graphs._graphs}


def test_pass_that_fails_in_a_capture_is_captured_unfused(loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[None] = []

    def compiled(model: Any, tensors: Any) -> None:
        calls.append(None)
        if len(calls) > 2:  # the first two compile it
            raise RuntimeError("Triton has no compiler\nand a long log")
        compute_pass(model, tensors)

    expected = answers_alone(loaded, Request((TEXT,), 12))
    graphs = use_fused(loaded, compiled, monkeypatch)
    assert graphs.message == FUSED
    assert answers_with_graphs(loaded, graphs) == [expected] * 3
    assert graphs.statistics.replays > 10
    assert not any(graph.is_fused for graph in graphs._graphs.values())
    assert graphs.message.endswith("could not be fused: RuntimeError: Triton has no compiler.")
    assert graphs.statistics.rejected == {}


def test_fused_pass_with_wrong_logits_is_never_used(loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    def compiled(model: Any, tensors: Any) -> None:
        compute_pass(model, tensors)
        tensors.logits.copy_(tensors.logits.flip(-1))

    expected = answers_alone(loaded, Request((TEXT,), 12))
    graphs = use_fused(loaded, compiled, monkeypatch)
    assert answers_with_graphs(loaded, graphs, times=4) == [expected] * 4
    assert "off by" in graphs.message
    assert graphs.statistics.replays > 10
    assert graphs.statistics.rejected == {}
    assert not any(graph.is_fused for graph in graphs._graphs.values())


def test_pass_is_not_compiled_without_memory_for_static_rows(
    loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    graphs = use_fused(loaded, compute_pass, monkeypatch, free_bytes=0)
    assert "no memory for its static rows" in graphs.message
    cache = KvCache(loaded.runner.layers, 8)
    assert loaded.runner.run(ForwardPass([[7]], cache)).values.shape == (1, 640)


def test_registry_without_fused_pass_has_no_message(loaded: LoadedModel) -> None:
    graphs = GraphRegistry(loaded.runner.model, loaded.adapters, loaded.context_tokens, Tape, lambda: 1 << 40)
    compiled: list[None] = []
    graphs.compile_fused_pass(lambda: compiled.append(None))
    assert (graphs.message, compiled) == ("", [])
