"""What all parts of the GPU benchmark share: one loaded model, and the time of a pass and of a request."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from goals import Goal
from measure import MODULES, median_ms, read_module_source, synchronize

from starcoder_ls.engine.cuda_graphs.buckets import ROW_COUNTS, Bucket
from starcoder_ls.engine.cuda_graphs.registry import GraphRegistry
from starcoder_ls.engine.forward_pass import ForwardPass, LogitsFor
from starcoder_ls.engine.generation.loaded_model import LoadedModel
from starcoder_ls.engine.generation.request_generation import GenerationState, generate_alone
from starcoder_ls.engine.kv_cache.cache import KvCache
from starcoder_ls.generation import Request

PREFILL_TOKENS = 512


@dataclass
class Bench:
    """One model under test. ``goals`` receives the results that docs/performance.md states goals for."""

    loaded: LoadedModel
    device: torch.device
    is_quick: bool
    copy_gb_per_s: float
    shape: str
    goals: dict[str, Goal] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.runner = self.loaded.runner
        self.model = self.runner.model
        assert self.runner.graphs is not None, "this model cannot have CUDA graphs"
        self.graphs: GraphRegistry = self.runner.graphs
        self.runs = 3 if self.is_quick else 40
        self.row_counts = [rows for rows in ROW_COUNTS if rows <= (16 if self.device.type == "cuda" else 2)]
        rng = random.Random(0)
        self.ids = [rng.randrange(100, 8000) for _ in range(self.loaded.context_tokens)]
        self.max_tokens = min(2048, self.loaded.context_tokens)

    def free_gb(self) -> float:
        synchronize(self.device)
        return torch.cuda.mem_get_info(self.device)[0] / 1e9 if self.device.type == "cuda" else 0.0

    def capture_graphs(self) -> None:
        """Capture all graphs that passes have lacked."""
        if isinstance(self.runner.graphs, GraphRegistry):
            self.runner.graphs.capture_while(lambda _seconds: True)

    def without_graphs(self, measure: Callable[[], float]) -> float:
        graphs, self.runner.graphs = self.runner.graphs, None
        try:
            return measure()
        finally:
            self.runner.graphs = graphs

    def prefilled_cache(self, tokens: int, ids: Sequence[int] | None = None) -> KvCache:
        cache, ids = KvCache(self.runner.layers, tokens + 64), self.ids if ids is None else ids
        for start in range(0, tokens, PREFILL_TOKENS):
            chunk = list(ids[start : min(start + PREFILL_TOKENS, tokens)])
            self.runner.run(ForwardPass([chunk], cache, LogitsFor.NONE))
        return cache

    def pass_ms(self, cached: int, new: int = 1, runs: int | None = None) -> float:
        """Return the time of a pass over ``new`` tokens after ``cached`` ones, with the choice of the next token."""
        cache = self.prefilled_cache(cached)

        def run_pass() -> None:
            cache.truncate(cached)
            forward_pass = ForwardPass([self.ids[cached : cached + new]], cache, LogitsFor.ALL)
            self.runner.run(forward_pass).greedy()

        for _ in range(2):  # the first requests a graph, the second verifies it
            run_pass()
            self.capture_graphs()
        return median_ms(self.device, run_pass, runs or self.runs)

    def replay_ms(self, bucket: Bucket, adapter_key: Any = None) -> float:
        """Return the time of a graph and of reading its outputs; NaN if there is no such graph."""
        graph, static_pass = self.graphs._graphs.get((adapter_key, bucket)), self.graphs.capturer.static_pass
        if graph is None or static_pass is None:
            return float("nan")
        # The inputs are those of the last pass: its tokens are computed again.
        return median_ms(self.device, lambda: (graph.captured.replay(), static_pass.read_outputs(bucket)), self.runs)

    def bytes_per_token(self, cached: int) -> int:
        """Return what a decode step reads: the weights but for embedding tables, and keys and values."""
        weights = self.runner.weight_bytes - self.model.get_submodule("transformer.wpe").weight.nbytes
        keys = self.prefilled_cache(1).first_layer_keys
        assert keys is not None
        return weights + cached * 2 * self.runner.layers * keys.shape[1] * keys.shape[3] * keys.element_size()

    def bandwidth_fraction(self, cached: int, step_ms: float) -> float:
        """Return the part of the copy bandwidth that a decode step of ``step_ms`` reaches."""
        return self.bytes_per_token(cached) / step_ms / 1e6 / (self.copy_gb_per_s or 1)

    def request_ms(self) -> float:
        """Return the time per token of a whole request without drafts, everything around the passes included."""
        state, tokens, elapsed_s = GenerationState.empty(self.loaded), 0, 0.0
        text = read_module_source(MODULES[0])[:1500]
        for attempt in range(4):
            steps = generate_alone(Request((text,), 64), state, lambda: None)
            while not next(steps):  # prefill and the first token
                pass
            started_s = time.perf_counter()
            new_tokens = sum(len(chunks) for chunks in steps)
            if attempt:  # the first attempt warms up
                tokens += new_tokens
                elapsed_s += time.perf_counter() - started_s
            self.capture_graphs()
        return elapsed_s * 1000 / max(tokens, 1)
