"""Parts of the GPU benchmark that compare with others: generate of transformers, and passes through torch.compile."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from typing import Any

import torch
from bench import Bench
from goals import Goal
from measure import Table, median_ms

from starcoder_ls.engine.cuda_graphs import gqa_attention
from starcoder_ls.engine.cuda_graphs.buckets import Bucket
from starcoder_ls.engine.cuda_graphs.capture import CudaCapture
from starcoder_ls.engine.cuda_graphs.fused_pass import FusedPass
from starcoder_ls.engine.cuda_graphs.registry import GraphRegistry


def measure_generate(bench: Bench, **options: Any) -> Table:
    """``generate`` of transformers, by default with its growing cache, against a request of ours."""
    new_tokens, cached = 8 if bench.is_quick else 64, min(500, bench.max_tokens // 2)
    prompt = torch.tensor([bench.ids[:cached]], device=bench.device)

    def generate_ms(tokens: int) -> float:
        def generate() -> None:
            bench.model.generate(
                prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=tokens, min_new_tokens=tokens,
                do_sample=False, pad_token_id=0, **options,
            )  # fmt: skip

        return median_ms(bench.device, generate, 2 if bench.is_quick else 4)

    token_ms = (generate_ms(new_tokens + 1) - generate_ms(1)) / new_tokens
    request_ms = bench.request_ms()
    return Table(
        ["generate, ms per token", "tokens/s", "ours, a request", "theirs / ours"],
        [[token_ms, 1000 / token_ms, request_ms, token_ms / request_ms]],
    )


def measure_fused(bench: Bench) -> Table:
    """Graphs of the pass fused by inductor, as with ``model.compile``; their first pass verifies them."""
    is_gpu = bench.device.type == "cuda"

    def free_bytes() -> int:
        return torch.cuda.mem_get_info(bench.device)[0] if is_gpu else 1 << 31

    fused = FusedPass("inductor" if is_gpu else "eager")
    capture = CudaCapture(bench.device) if is_gpu else functools.partial(_Rerun, bench.model)
    graphs = bench.graphs
    compiled = GraphRegistry(
        bench.model, bench.loaded.adapters, bench.loaded.context_tokens, capture, free_bytes, fused
    )
    compiled._pending.clear()
    started_s = time.perf_counter()
    compiled.compile_fused_pass(lambda: None)
    compile_s, rows = time.perf_counter() - started_s, []
    try:
        for bucket in (Bucket(1, 1, bench.max_tokens), Bucket(1, 8, bench.max_tokens)):
            unfused_ms = bench.replay_ms(bucket)
            bench.graphs = bench.runner.graphs = compiled
            compiled.request_graph(bucket)
            bench.capture_graphs()
            cached = bench.max_tokens - 100
            bench.pass_ms(cached, bucket.new_tokens, runs=4)  # verifies the graph
            replay_ms, graph = bench.replay_ms(bucket), compiled._graphs.get((None, bucket))
            is_fused = graph is not None and graph.is_fused and graph.is_verified
            fraction = bench.bandwidth_fraction(cached, replay_ms)
            if is_fused and bucket.new_tokens == 1:
                bench.goals["fused decode, share of copy bandwidth"] = Goal(fraction, 0.72)
            rows.append([str(bucket), compile_s, unfused_ms, replay_ms, fraction, is_fused, compiled.message])
            bench.graphs = bench.runner.graphs = graphs
    finally:
        bench.graphs = bench.runner.graphs = graphs
    header = ["shape", "compiled, s", "unfused, ms", "fused, ms", "of copy bandwidth", "fused, verified", "message"]
    return Table(header, rows)


class _Rerun:
    """Runs a function instead of a graph, where there is no GPU."""

    def __init__(self, model: Any, function: Callable[[], None]) -> None:
        self._model, self._function = model, function
        self.replay()

    def replay(self) -> None:
        with torch.inference_mode(), gqa_attention.installed_in(self._model):
            self._function()
