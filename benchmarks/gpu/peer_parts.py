"""Parts of the GPU benchmark that compare with others: generate of transformers, and passes through torch.compile."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch
from bench import Bench
from goals import Goal
from measure import Table, median_ms

from starcoder_ls.engine.cuda_graphs.buckets import Bucket
from starcoder_ls.engine.cuda_graphs.capture import CudaCapture
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
    """The same pass, fused by inductor and then captured."""
    is_gpu = bench.device.type == "cuda"
    capture = CudaCapture(bench.device) if is_gpu else _Rerun
    compile_s: list[float] = []

    def compile_and_capture(function: Callable[[], None]) -> Any:
        started_s = time.perf_counter()
        graph = capture(torch.compile(function, dynamic=False, **({} if is_gpu else {"backend": "eager"})))
        compile_s.append(time.perf_counter() - started_s)
        return graph

    def free_bytes() -> int:
        return torch.cuda.mem_get_info(bench.device)[0] if is_gpu else 1 << 31

    context_tokens = bench.loaded.context_tokens
    compiled = GraphRegistry(bench.model, bench.loaded.adapters, context_tokens, compile_and_capture, free_bytes)
    compiled._pending.clear()
    graphs, bench.graphs = bench.graphs, compiled
    rows = []
    try:
        for bucket in (Bucket(1, 1, bench.max_tokens),):
            compiled.request_graph(bucket)
            compiled.capture_while(lambda _seconds: True)
            replay_ms, cached = bench.replay_ms(bucket), bench.max_tokens - 100
            bench.runner.graphs = compiled
            bench.pass_ms(cached, bucket.new_tokens, runs=4)  # verifies the graph
            statistics = compiled.statistics
            outcome = statistics.rejected.get((None, bucket)) or f"{statistics.replays} replayed"
            fraction = bench.bandwidth_fraction(cached, replay_ms)
            if outcome.endswith("replayed"):
                bench.goals["fused decode, share of copy bandwidth"] = Goal(fraction, 0.72)
            rows.append([str(bucket), compile_s[-1] if compile_s else "", replay_ms, fraction, outcome])
    finally:
        bench.graphs = bench.runner.graphs = graphs
    return Table(["shape", "compiled and captured in s", "a replay, ms", "of copy bandwidth", "verification"], rows)


class _Rerun:
    """Runs a function instead of a graph, where there is no GPU."""

    def __init__(self, function: Callable[[], None]) -> None:
        self._function = function
        self.replay()

    def replay(self) -> None:
        with torch.inference_mode():
            self._function()
