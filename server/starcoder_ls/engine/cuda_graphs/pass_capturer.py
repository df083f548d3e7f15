"""Captures one pass as a graph: in static rows that it allocates, fused by inductor if that was asked for and works."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from typing import Any

import torch

from starcoder_ls.engine.adapters.resident_adapters import ResidentAdapters
from starcoder_ls.engine.cuda_graphs import buckets, gqa_attention
from starcoder_ls.engine.cuda_graphs.buckets import Bucket
from starcoder_ls.engine.cuda_graphs.capture import Capture
from starcoder_ls.engine.cuda_graphs.fused_pass import FusedPass
from starcoder_ls.engine.cuda_graphs.pass_graph import Key, PassGraph
from starcoder_ls.engine.cuda_graphs.static_pass import StaticPass
from starcoder_ls.engine.kv_cache.static_kv import StaticKv, allocate_static_kv
from starcoder_ls.engine.memory import is_out_of_memory
from starcoder_ls.engine.model_shape import activation_type, key_value_shape
from starcoder_ls.errors import DeviceFailed

MEASURED_REPLAYS = 3
"""Replays of each new graph that are timed; their minimum is its cost."""


class PassCapturer:
    """The static rows of one model, the inputs and outputs of its graphs, and their capture."""

    def __init__(
        self,
        model: Any,
        context_tokens: int,
        capture: Capture,
        free_bytes: Callable[[], int],
        fused: FusedPass | None = None,
    ) -> None:
        self._model, self._context_tokens = model, context_tokens
        self._capture, self._free_bytes, self._fused = capture, free_bytes, fused
        self._static_kvs: list[StaticKv] | None = None
        self.static_pass: StaticPass | None = None

    @property
    def bytes(self) -> int:
        """Memory of the static rows, inputs and outputs; that of the graphs themselves is not known."""
        static_pass = 0 if self.static_pass is None else self.static_pass.bytes
        return sum(static_kv.bytes for static_kv in self._static_kvs or ()) + static_pass

    @property
    def message(self) -> str:
        """For the user: whether graphs contain the fused pass; "" if it was not asked for."""
        return "" if self._fused is None else self._fused.message

    def compile_fused_pass(self, adapters: ResidentAdapters, on_compile: Callable[[], None]) -> None:
        """Compile the pass for the base and each adapter, where that was asked for; takes minutes the first time.

        ``on_compile`` is called before each. If it fails, graphs contain the pass that is not fused. Raises
        DeviceFailed, and what ``on_compile`` raises.
        """
        fused = self._fused
        if fused is None:
            return
        bucket = Bucket(1, 1, next(buckets.kv_sizes(self._context_tokens)))
        static_kv = self.static_kv_for(bucket)
        if static_kv is None or self.static_pass is None:
            fused.fail("there is no memory for its static rows")
            return
        tensors_of = functools.partial(self.static_pass.tensors, static_kv)
        for adapter in (None, *adapters):
            on_compile()
            adapters.activate(adapter)
            with torch.inference_mode(), gqa_attention.installed_in(self._model):
                fused.compile(adapters.active_layers_key, self._model, bucket.kv_tokens, tensors_of)

    def static_kv_for(self, bucket: Bucket) -> StaticKv | None:
        """The smallest static rows that hold ``bucket``; None if they would take too much memory."""
        if self._static_kvs is None:
            device, dtype = activation_type(self._model)
            shape = key_value_shape(self._model.config)
            with torch.inference_mode():
                self._static_kvs = allocate_static_kv(
                    shape, device, dtype, buckets.static_kv_sizes(self._context_tokens), self._free_bytes
                )
                if self._static_kvs:
                    self.static_pass = StaticPass(self._model, self._static_kvs[0].rows, device, dtype)
        for static_kv in self._static_kvs:
            if static_kv.rows >= bucket.rows and static_kv.tokens >= bucket.kv_tokens:
                return static_kv
        return None

    def capture(self, key: Key) -> tuple[PassGraph, float] | None:
        """The graph of ``key``, whose adapter is active, and the milliseconds of a replay.

        None where there is no memory for its static rows. Raises what the capture raises.
        """
        bucket = key[1]
        static_kv = self.static_kv_for(bucket)
        if static_kv is None or self.static_pass is None:
            return None
        with torch.inference_mode(), gqa_attention.installed_in(self._model):
            unused = [static_kv.tokens] * bucket.rows  # positions that belong to no sequence
            self.static_pass.write_inputs(bucket, [[]] * bucket.rows, unused)
            graph = self._capture_fused(key, self.static_pass, static_kv)
            if graph is None:
                function = self.static_pass.build(static_kv, bucket)
                graph = PassGraph(self._capture(function), function)
            took_ms = []
            for _ in range(MEASURED_REPLAYS):
                started_s = time.perf_counter()
                graph.captured.replay()
                self.static_pass.read_outputs(bucket)  # waits for the device
                took_ms.append((time.perf_counter() - started_s) * 1000)
            return graph, min(took_ms)

    def reject_fused(self, reason: str) -> None:
        """Capture no fused pass from here on."""
        if self._fused is not None:
            self._fused.fail(reason)

    def release(self) -> None:
        """Give up the static rows for good; their caches move to memory of their own.

        Raises the device's out-of-memory error if there is none; the memory of the rows then stays while a cache uses
        it.
        """
        static_kvs, self._static_kvs, self.static_pass = self._static_kvs, [], None
        with torch.inference_mode():
            for static_kv in static_kvs or ():
                static_kv.release()

    def _capture_fused(self, key: Key, static_pass: StaticPass, static_kv: StaticKv) -> PassGraph | None:
        """A graph of the fused pass; None if it is not used or cannot be captured. Raises DeviceFailed."""
        compute = None if self._fused is None else self._fused.find(*key)
        if self._fused is None or compute is None:
            return None
        function = static_pass.build(static_kv, key[1], compute)
        try:
            return PassGraph(self._capture(function), function, is_fused=True)
        except DeviceFailed:
            raise
        except Exception as error:
            if is_out_of_memory(error):
                raise
            self._fused.fail(f"{type(error).__name__}: {error}")
            return None
