"""Parts of the GPU benchmark about forward passes: graphs, decode steps, verification, attention, adapters."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import Any

import attention
import torch
from bench import Bench
from goals import Goal
from measure import Table, median_ms
from models import load_random

from starcoder_ls.engine.adapters.registry import METHODS
from starcoder_ls.engine.adapters.resident_adapters import ResidentAdapter
from starcoder_ls.engine.cuda_graphs.buckets import NEW_TOKEN_COUNTS, Bucket
from starcoder_ls.engine.cuda_graphs.capture import CudaCapture
from starcoder_ls.engine.forward_pass import ForwardPass

ATTENTION_SHAPES = ((1, 1), (1, 8), (8, 1))
"""Rows and new tokens."""

ADAPTERS: dict[str, tuple[str, dict[str, Any]]] = {
    "LoRA": ("LORA", {"r": 8, "lora_alpha": 16, "target_modules": ["c_attn", "c_proj"]}),
    "Parallel": ("BOTTLENECK", {"target_modules": ["c_attn"], "use_parallel_adapter": True}),
}
"""Methods, and the values of their configurations that are not the defaults."""


def measure_graphs(bench: Bench) -> Table:
    """Time and memory of capturing the graphs of one request and those for several rows."""
    statistics_, free_gb = bench.graphs.statistics, bench.free_gb()
    before = list(statistics_.capture_ms)
    for rows in bench.row_counts[1:]:
        for new_tokens in NEW_TOKEN_COUNTS:
            bench.graphs.request_graph(Bucket(rows, new_tokens, bench.max_tokens))
    bench.capture_graphs()
    capture_ms = [ms for key, ms in statistics_.capture_ms.items() if key not in before]
    rejected = {str(key[1]): reason for key, reason in statistics_.rejected.items()}
    graphs_gb = free_gb - bench.free_gb() - bench.graphs.bytes / 1e9
    header = ["graphs", "first, ms", "others, median ms", "worst", "MB each without static rows"]
    return Table([*header, "static rows and pass, MB", "rejected"], [[
        len(capture_ms), capture_ms[0], statistics.median(capture_ms[1:]), max(capture_ms[1:]),
        graphs_gb * 1000 / len(capture_ms), bench.graphs.bytes / 1e6, rejected or "none",
    ]])  # fmt: skip


def measure_decode(bench: Bench) -> Table:
    """One token after another, each waited for, with and without graphs."""
    rows: list[list[Any]] = []
    for cached in sorted({min(500, bench.max_tokens // 2), bench.max_tokens - 100, bench.loaded.context_tokens - 100}):
        replays_before = bench.graphs.statistics.replays
        graph_ms = bench.pass_ms(cached)
        is_replayed = bench.graphs.statistics.replays > replays_before
        plain_ms = bench.without_graphs(lambda cached=cached: bench.pass_ms(cached, runs=bench.runs // 2))  # type: ignore[misc]
        fraction = bench.bandwidth_fraction(cached, graph_ms)
        rows.append([cached, plain_ms, graph_ms, plain_ms / graph_ms, 1000 / graph_ms, fraction, is_replayed])
    bench.goals["captured decode, share of copy bandwidth"] = Goal(rows[0][5], 0.6)
    request_ms = bench.request_ms()
    rows.append(["a request", "", request_ms, "", 1000 / request_ms, "", ""])
    header = ["cached tokens", "plain, ms", "graph, ms", "plain / graph", "tokens/s", "of copy bandwidth"]
    return Table([*header, "replayed"], rows)


def measure_int4(bench: Bench) -> Table:
    """A decode step with weights in 4 bits (torchao's tinygemm), against the same in 16 bits."""
    quantized = Bench(
        load_random(bench.shape, bench.device, is_int4=True),
        bench.device,
        bench.is_quick,
        bench.copy_gb_per_s,
        bench.shape,
    )
    cached = min(500, bench.max_tokens // 2)
    int4_ms, full_ms = quantized.pass_ms(cached), bench.pass_ms(cached)
    bench.goals["16 bits / 4 bits, a step"] = Goal(full_ms / int4_ms, 1.8)
    rejected = {str(key[1]): reason for key, reason in quantized.graphs.statistics.rejected.items()}
    header = ["16 bits, ms", "4 bits, ms", "16 / 4", "weights, GB", "replays", "rejected"]
    sizes_gb, replays = quantized.loaded.bytes / 1e9, quantized.graphs.statistics.replays
    return Table(header, [[full_ms, int4_ms, full_ms / int4_ms, sizes_gb, replays, rejected or "none"]])


def measure_verification(bench: Bench) -> Table:
    """Replays over several rows and new tokens, compared with one of each."""
    bench.capture_graphs()
    single_ms = bench.replay_ms(Bucket(1, 1, bench.max_tokens))
    rows = []
    for count in bench.row_counts:
        costs_ms = [bench.replay_ms(Bucket(count, new, bench.max_tokens)) for new in NEW_TOKEN_COUNTS]
        rows.append([count, *costs_ms, *(cost_ms / single_ms for cost_ms in costs_ms)])
    times, ratios = ([f"{new} new{unit}" for new in NEW_TOKEN_COUNTS] for unit in (", ms", " / one"))
    return Table(["rows", *times, *ratios], rows)


def measure_attention(bench: Bench) -> Table:
    """The attention of one layer: all implementations, with their relative errors."""
    config, dtype = bench.model.config, bench.loaded.placement.dtype
    rows, names = [], list[str]()
    for tokens in [size for size in (1024, 2048, 4096, 8192) if size <= max(1024, bench.loaded.context_tokens)]:
        for count, new in ATTENTION_SHAPES:
            inputs = attention.AttentionInputs(config.n_head, config.n_embd // config.n_head, count, new, tokens)
            inputs.fill(bench.device, dtype)
            implementations = attention.implementations(inputs)
            names = list(implementations)
            expected = inputs.expected()
            cells = [measure_implementation(bench, attend, expected) for attend in implementations.values()]
            rows.append([tokens, count, new, *cells])
    return Table(["tokens", "rows", "new", *(f"{name}, us (error)" for name in names)], rows)


def measure_implementation(bench: Bench, attend: Callable[[], torch.Tensor], expected: torch.Tensor) -> str:
    try:
        error = float((attend().double() - expected).norm() / expected.norm())
        return f"{graph_us(bench, attend):.3g} ({error:.0e})"
    except (RuntimeError, NotImplementedError) as failure:
        return str(failure).partition("\n")[0][:40] or type(failure).__name__


def graph_us(bench: Bench, function: Callable[[], object]) -> float:
    """Return the time of one call among 20 in one graph; without a GPU, of one call."""
    calls = 20 if bench.device.type == "cuda" else 1

    def call_repeatedly() -> None:
        for _ in range(calls):
            function()

    with torch.inference_mode():
        if bench.device.type == "cpu":
            return median_ms(bench.device, call_repeatedly, 3) * 1000
        graph = CudaCapture(bench.device)(call_repeatedly)
        return median_ms(bench.device, graph.replay, bench.runs) * 1000 / calls


def measure_adapters(bench: Bench) -> Table:
    """A decode step with each adapter, and alternating with the base."""
    adapters = bench.loaded.adapters
    attached = [attach_random(bench, name, *adapter) for name, adapter in ADAPTERS.items()]
    bucket, rows = Bucket(1, 1, bench.max_tokens), []
    base_ms = bench.replay_ms(bucket)
    for adapter in attached:
        bench.graphs.request_graph(bucket, adapter.key)
        bench.capture_graphs()
        adapter_ms = bench.replay_ms(bucket, adapter.key)
        ratio = alternating_ms(bench, adapter) / alternating_ms(bench, None)
        rows.append([adapter.name, adapter.size_bytes / 1e6, adapter_ms, adapter_ms / base_ms, ratio])
    adapters.activate(None)
    for adapter in attached:
        adapters.remove(adapter.name)
    bench.graphs.retain_adapters(adapters.keys)
    return Table(["adapter", "MB", "a replay, ms", "/ base", "alternating with the base / base alone"], rows)


def attach_random(bench: Bench, name: str, peft_type: str, values: dict[str, Any]) -> ResidentAdapter:
    """Attach an adapter of random weights, as if it had been read from files."""
    adapters, method = bench.loaded.adapters, METHODS[peft_type]
    adapters.activate(None)
    values = {key: method.default_values().get(key) for key in method.config_checks} | values
    sites = method.create_layers(values, bench.model)
    shapes = method.tensor_shapes(values, bench.model, sites)
    method.load_tensors({key: torch.randn(shape) * 0.02 for key, shape in shapes.items()}, bench.model, sites)
    weight_bytes = sum(weight.nbytes for site in sites for weight in site.weights().values())
    adapter = ResidentAdapter(name, next(adapters._generations), method, "", tuple(sites), None, weight_bytes)
    adapters._by_name[name] = adapter
    return adapter


def alternating_ms(bench: Bench, adapter: ResidentAdapter | None) -> float:
    """Return the mean of a pass with the base and one with ``adapter``, in turns."""
    cached = bench.max_tokens // 2
    base_cache, adapter_cache = bench.prefilled_cache(cached), bench.prefilled_cache(cached)

    def run_both() -> None:
        for active, cache in ((None, base_cache), (adapter, adapter_cache)):
            cache.truncate(cached)
            bench.runner.run(ForwardPass([[7]], cache), active).greedy()

    for _ in range(3):
        run_both()
        bench.capture_graphs()
    return median_ms(bench.device, run_both, bench.runs) / 2
