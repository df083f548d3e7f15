"""CUDA graphs of short forward passes: one call replaces the hundreds of kernel launches of a pass.

Decides which shapes are captured, when, in which memory, and which passes they fit. A pass that fits none runs without.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Container, Sequence
from itertools import islice
from typing import Any

import torch

from starcoder_ls.engine.adapters.resident_adapters import ResidentAdapters
from starcoder_ls.engine.cuda_graphs import buckets
from starcoder_ls.engine.cuda_graphs.buckets import Bucket
from starcoder_ls.engine.cuda_graphs.capture import Capture, CudaCapture
from starcoder_ls.engine.cuda_graphs.fused_pass import FusedPass
from starcoder_ls.engine.cuda_graphs.pass_capturer import PassCapturer
from starcoder_ls.engine.cuda_graphs.pass_graph import GraphStatistics, Key, PassGraph, logits_of_rows
from starcoder_ls.engine.cuda_graphs.verification import excessive_difference
from starcoder_ls.engine.forward_pass import ForwardPass, LogitsFor
from starcoder_ls.engine.kv_cache.prefix_cache import AdapterKey
from starcoder_ls.engine.kv_cache.static_kv import StaticKv
from starcoder_ls.engine.logits import Logits
from starcoder_ls.engine.memory import is_out_of_memory
from starcoder_ls.engine.model_shape import activation_type, input_device
from starcoder_ls.errors import DeviceFailed

_log = logging.getLogger(__name__)

MAX_GRAPHS = 64
QUIET_S = 0.05
"""A graph is captured only after no request has arrived for so long; the next one may have to wait for the capture."""


def create_registry(
    model: Any, adapters: ResidentAdapters, context_tokens: int, is_fused: bool = False
) -> GraphRegistry | None:
    """A registry for ``model``, with ``is_fused`` of passes fused by inductor; None unless it computes on CUDA."""
    device = input_device(model)
    if device.type != "cuda":
        return None
    return GraphRegistry(
        model,
        adapters,
        context_tokens,
        CudaCapture(device),
        lambda: torch.cuda.mem_get_info(device)[0],
        FusedPass() if is_fused else None,
    )


class GraphRegistry:
    """All graphs of one model. Used by the engine's thread only."""

    def __init__(
        self,
        model: Any,
        adapters: ResidentAdapters,
        context_tokens: int,
        capture: Capture,
        free_bytes: Callable[[], int],
        fused: FusedPass | None = None,
    ) -> None:
        self._model, self._adapters, self._context_tokens = model, adapters, context_tokens
        self.capturer = PassCapturer(model, context_tokens, capture, free_bytes, fused)
        self._graphs: dict[Key, PassGraph] = {}
        self._pending: Counter[Key] = Counter()  # graphs to capture, by how many passes lacked them
        self._is_disabled = False
        self.statistics = GraphStatistics()
        self._pending.update((None, bucket) for bucket in buckets.single_request_buckets(context_tokens))

    @property
    def bytes(self) -> int:
        """Memory of the static rows, inputs and outputs; that of the graphs themselves is not known."""
        return self.capturer.bytes

    @property
    def message(self) -> str:
        """For the user: whether graphs contain the pass fused by inductor; "" if it was not asked for."""
        return self.capturer.message

    def compile_fused_pass(self, on_compile: Callable[[], None]) -> None:
        """As ``PassCapturer.compile_fused_pass``."""
        self.capturer.compile_fused_pass(self._adapters, on_compile)

    def replay(
        self, passes: Sequence[ForwardPass], compute_plain: Callable[[], list[torch.Tensor]]
    ) -> list[Logits] | None:
        """The logits of ``passes``, [rows or time, vocabulary] each, computed together by one replay.

        None if no graph fits, and nothing was done then.

        The first replay of a graph is verified: ``compute_plain`` computes the same logits without a graph, and they
        are returned. Raises what it raises.
        """
        found = self._find_graph(passes)
        if found is None:
            return None
        key, graph, static_kv = found
        bucket, static_pass = key[1], self.capturer.static_pass
        assert static_pass is not None
        with torch.inference_mode():
            caches = [cache for forward_pass in passes for cache in forward_pass.cache.split_rows()]
            assigned = iter(static_kv.assign(caches, bucket.rows))
            rows = [list(islice(assigned, len(forward_pass.rows))) for forward_pass in passes]
            ids: list[list[int]] = [[]] * bucket.rows
            starts = [static_kv.tokens] * bucket.rows
            for pass_rows, forward_pass in zip(rows, passes, strict=True):
                for row, row_ids in zip(pass_rows, forward_pass.rows, strict=True):
                    ids[row], starts[row] = row_ids, forward_pass.cache.length
            static_pass.write_inputs(bucket, ids, starts)
            graph.captured.replay()
            values, likeliest = static_pass.read_outputs(bucket)
            values = values.clone()  # the next pass overwrites them
            logits = [
                logits_of_rows(values, likeliest, pass_rows, forward_pass.logit_positions)
                for pass_rows, forward_pass in zip(rows, passes, strict=True)
            ]
            if not graph.is_verified:
                return self._verify(key, graph, logits, compute_plain())
            for forward_pass in passes:
                forward_pass.cache.set_length(forward_pass.cache.length + len(forward_pass.rows[0]))
        self.statistics.replays += 1
        graph.last_replay = self.statistics.replays
        return logits

    def capture_while(self, stays_quiet: Callable[[float], bool]) -> None:
        """Capture pending graphs, those that most passes lacked first.

        ``stays_quiet`` is called before each and returns whether no request arrives for so many seconds. Raises
        DeviceFailed.
        """
        while self._pending and stays_quiet(QUIET_S):
            key = max(self._pending, key=self._pending.__getitem__)
            del self._pending[key]
            adapter = next((adapter for adapter in self._adapters if adapter.key == key[0]), None)
            if key[0] is None or adapter is not None:  # else it was detached meanwhile
                self._adapters.activate(adapter)
                assert self._adapters.active_layers_key == key[0], (
                    "captured with other layers than it would be replayed for"
                )
                self._try_capture(key)

    def request_graph(self, bucket: Bucket, adapter_key: AdapterKey = None) -> None:
        """Capture a graph for it when there is time."""
        self._pending[adapter_key, bucket] += 1

    @property
    def has_pending(self) -> bool:
        """Whether a graph is still to be captured."""
        return bool(self._pending)

    def replay_costs(self) -> dict[int, float]:
        """Milliseconds of a replay by its number of new tokens, for a request that runs alone.

        Empty until all numbers of tokens have been measured for one size of cache.
        """
        for size in buckets.kv_sizes(self._context_tokens):
            keys = {count: (None, Bucket(1, count, size)) for count in buckets.NEW_TOKEN_COUNTS}
            if all(key in self.statistics.replay_ms for key in keys.values()):
                return {count: self.statistics.replay_ms[key] for count, key in keys.items()}
        return {}

    def retain_adapters(self, adapter_keys: Container[AdapterKey]) -> None:
        """Drop the graphs of adapters that are gone."""
        for key in [key for key in (*self._graphs, *self._pending) if key[0] not in adapter_keys]:
            self._graphs.pop(key, None)
            self._pending.pop(key, None)

    def disable(self, reason: str) -> None:
        """Drop all graphs and static rows for good, because the memory is needed elsewhere."""
        if self._is_disabled:
            return
        self._is_disabled = True
        _log.warning("CUDA graphs are disabled: %s", reason)
        self._graphs.clear()
        self._pending.clear()
        try:
            self.capturer.release()
        except Exception as error:
            if not is_out_of_memory(error):
                raise

    def _find_graph(self, passes: Sequence[ForwardPass]) -> tuple[Key, PassGraph, StaticKv] | None:
        """The graph for ``passes``, or meanwhile one for a larger shape; a graph that is missing becomes pending."""
        if self._is_disabled:
            return None
        rows = sum(len(forward_pass.rows) for forward_pass in passes)
        new_tokens = max(len(forward_pass.rows[0]) for forward_pass in passes)
        end = max(forward_pass.cache.length + len(forward_pass.rows[0]) for forward_pass in passes)
        adapter_key = self._adapters.active_layers_key
        exact: Key | None = None
        for bucket in buckets.buckets_holding(rows, new_tokens, end, self._context_tokens):
            key = (adapter_key, bucket)
            if exact is None:
                if key in self.statistics.rejected:
                    return None
                exact = key
            if (graph := self._graphs.get(key)) is not None:
                static_kv = self.capturer.static_kv_for(bucket)
                if static_kv is None or not all(static_kv.is_compatible(each.cache) for each in passes):
                    return None
                if not graph.is_verified and all(each.logits_for is LogitsFor.NONE for each in passes):
                    return None  # there is nothing to verify it by
                if key != exact:
                    self.request_graph(exact[1], adapter_key)
                return key, graph, static_kv
        if exact is not None:
            self.request_graph(exact[1], adapter_key)
        return None

    def _try_capture(self, key: Key) -> None:
        """Capture the graph, or note why it cannot be. Raises DeviceFailed."""
        started_s = time.perf_counter()
        try:
            captured = self.capturer.capture(key)
        except DeviceFailed:
            raise
        except Exception as error:  # noqa: BLE001 - whatever cannot be captured runs without a graph
            reason = f"{type(error).__name__}: {error}".partition("\n")[0]
            if is_out_of_memory(error):
                self.disable("there was no memory to capture another")
            elif self.statistics.capture_ms:
                self._reject(key, reason)
            else:  # the first is the simplest of all
                self.statistics.rejected[key] = reason
                self.disable(f"this model cannot be captured ({reason})")
            return
        if captured is None:
            self.statistics.rejected[key] = "no memory for its static rows"
            return
        graph, self.statistics.replay_ms[key] = captured
        graph.last_replay = self.statistics.replays
        self._graphs[key] = graph
        self.statistics.capture_ms[key] = took_ms = (time.perf_counter() - started_s) * 1000
        _log.debug("captured a graph for %s in %.0f ms", key, took_ms)
        while len(self._graphs) > MAX_GRAPHS:
            del self._graphs[min(self._graphs, key=lambda other: self._graphs[other].last_replay)]

    def _verify(self, key: Key, graph: PassGraph, found: list[Logits], expected: list[torch.Tensor]) -> list[Logits]:
        """Use the graph from now on if it computed ``expected`` [n, vocabulary] each; return ``expected``."""
        difference = excessive_difference(found, expected, activation_type(self._model)[1])
        if difference is not None:
            reason = f"its logits were off by {difference:.2g} of their spread"
            del self._graphs[key]
            if graph.is_fused:
                self.capturer.reject_fused(reason)
                self.request_graph(key[1], key[0])
                for other in [other for other, found in self._graphs.items() if found.is_fused]:
                    del self._graphs[other]
            else:
                self._reject(key, reason)
        graph.is_verified = True
        return [Logits(values) for values in expected]

    def _reject(self, key: Key, reason: str) -> None:
        self.statistics.rejected[key] = reason
        _log.warning("no CUDA graph for %s: %s", key, reason)
