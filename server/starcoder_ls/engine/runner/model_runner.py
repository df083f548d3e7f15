"""Runs the forward passes of one model.

The runner owns everything that computes: the transformers model, the CPU implementations of its forward pass, the CUDA
graphs, and the number of threads. Each pass activates its adapter and chooses its threads once, here.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any

import torch

from starcoder_ls.engine import model_shape
from starcoder_ls.engine.adapters.resident_adapters import ResidentAdapter, ResidentAdapters
from starcoder_ls.engine.cuda_graphs.registry import GraphRegistry
from starcoder_ls.engine.forward_pass import ForwardPass, LogitsFor
from starcoder_ls.engine.kv_cache.cache import KvCache
from starcoder_ls.engine.loading import quantization
from starcoder_ls.engine.logits import Logits
from starcoder_ls.engine.pauses import Pauses
from starcoder_ls.engine.runner import bigcode_cpu, compiled_pass, packed_linear, padded_batch, prefill_attention
from starcoder_ls.engine.runner.bigcode_cpu import BigCodeCpu
from starcoder_ls.engine.runner.compiled_pass import CompiledPass
from starcoder_ls.engine.runner.pass_costs import CHUNK_TOKENS, MAX_CHUNK_MS, step_costs, tokens_within
from starcoder_ls.engine.runner.threads import threads_for_pass, use_threads


class ModelRunner:
    """One transformers model, used by one thread.

    ``chunk_tokens``: prompt tokens that one pass reads; ``token_ms``: milliseconds of each of them, 0 until measured.
    ``pass_costs[n]``: milliseconds of a pass over n + 1 tokens; empty where drafts are not used. ``cpu_pass`` and
    ``compiled_pass`` are None for models that they do not support.
    """

    def __init__(self, model: Any, adapters: ResidentAdapters) -> None:
        self.model, self.adapters = model, adapters
        self.layers = model_shape.layer_count(model.config)
        self.weight_bytes = _weight_bytes(model)
        self._devices = model_shape.accelerators(model)
        self.threads = torch.get_num_threads()
        self.chunk_tokens = CHUNK_TOKENS[-1]
        self.token_ms = 0.0
        self.pass_costs: tuple[float, ...] = ()
        self.graphs: GraphRegistry | None = None
        self.cpu_pass = BigCodeCpu(model) if bigcode_cpu.supports(model) else None
        self.compiled_pass = CompiledPass(model) if compiled_pass.supports(model) else None

    @property
    def can_batch(self) -> bool:
        """Whether ``run_batch`` takes more than one pass."""
        return self.cpu_pass is not None or padded_batch.supports(self.model)

    @property
    def will_compile(self) -> bool:
        """Whether the first pass compiles kernels, which takes seconds."""
        return self.compiled_pass is not None and compiled_pass.needs_compilation()

    def can_pause(self, adapter: ResidentAdapter | None) -> bool:
        """Whether a pass through the layers of ``adapter`` can stop between two of them."""
        return self.compiled_pass is not None and self.compiled_pass.can_apply(adapter)

    @property
    def unpaused_tokens(self) -> int:
        """The most tokens of a pass that does not pause, for whose end a key may have to wait."""
        if self.compiled_pass is None:
            return self.chunk_tokens
        return min(self.chunk_tokens, tokens_within(MAX_CHUNK_MS, self.token_ms))

    def chunk_tokens_with(self, adapter: ResidentAdapter | None) -> int:
        """Prompt tokens that one pass through the layers of ``adapter`` reads."""
        return self.chunk_tokens if self.can_pause(adapter) else self.unpaused_tokens

    def run(
        self, forward_pass: ForwardPass, adapter: ResidentAdapter | None = None, pause: Callable[[], None] | None = None
    ) -> Logits:
        """The logits that the pass names: [rows, vocabulary], or [time, vocabulary] for all tokens of one row."""
        return self.run_batch([forward_pass], adapter, pause)[0]

    def run_batch(
        self,
        passes: Sequence[ForwardPass],
        adapter: ResidentAdapter | None = None,
        pause: Callable[[], None] | None = None,
    ) -> list[Logits]:
        """The logits of each of ``passes``, computed together through the layers of ``adapter``.

        ``pause`` is called between slices of layers, if the pass can stop there, and may run other passes.

        Returns when the device has finished: else chunks would queue up on a GPU, a key would wait for all of them,
        and the time of the last would be counted where its result is read. Raises whatever the device raises; the
        caches then hold an unknown number of the new tokens.
        """
        started_s = time.monotonic()
        self.adapters.activate(adapter)
        tokens = sum(forward_pass.tokens for forward_pass in passes)
        pauses = None if pause is None else self._build_pauses(pause, tokens, adapter)
        with torch.inference_mode(), use_threads(threads_for_pass(tokens, self.weight_bytes, self.threads)):
            logits = None if self.graphs is None else self.graphs.replay(passes, lambda: self._compute(passes))
            if logits is None:
                logits = [Logits(values) for values in self._compute(passes, pauses)]
                self._wait_for_devices()  # after a replay its outputs have been read
        took_ms = (time.monotonic() - started_s) * 1000 - (0.0 if pauses is None else pauses.taken_ms)
        for forward_pass in passes:
            forward_pass.took_ms = took_ms
        return logits

    def prepare_adapters(self) -> None:
        """Do now what the first pass with an adapter would do: compile its kernels and arrange its weights for them."""
        if self.compiled_pass is not None:
            for adapter in self.adapters:
                self.compiled_pass.can_apply(adapter)

    def _build_pauses(self, pause: Callable[[], None], tokens: int, adapter: ResidentAdapter | None) -> Pauses:
        """Pauses of a pass over ``tokens`` tokens, after which ``adapter`` is active again."""

        def run() -> None:
            pause()
            self.adapters.activate(adapter)

        layers = max(1, int(self.layers * MAX_CHUNK_MS / max(self.token_ms * tokens, MAX_CHUNK_MS)))
        return Pauses(run, layers)

    def write_virtual_tokens(self, adapter: ResidentAdapter, cache: KvCache) -> None:
        """Put the virtual tokens of ``adapter`` into ``cache``, which is empty."""
        assert adapter.virtual_tokens is not None
        self.adapters.activate(adapter)
        with use_threads(threads_for_pass(adapter.virtual_token_count, self.weight_bytes, self.threads)):
            adapter.virtual_tokens.write(self.model, cache)

    def capture_graphs(self, stays_quiet: Callable[[float], bool]) -> None:
        """Capture the CUDA graphs that passes have missed while ``stays_quiet`` returns True, and use their costs.

        Raises DeviceFailed.
        """
        if self.graphs is None:
            return
        self.graphs.capture_while(stays_quiet)
        if self.pass_costs and (measured := self.graphs.replay_costs()):
            self.pass_costs = step_costs(measured)

    def _wait_for_devices(self) -> None:
        for device in self._devices:
            torch.accelerator.synchronize(device)

    def _compute(self, passes: Sequence[ForwardPass], pauses: Pauses | None = None) -> list[torch.Tensor]:
        """The logits of each pass without a graph, in float32 or wider: [rows or time, vocabulary] each."""
        for forward_pass in passes:
            forward_pass.cache.join_rows()
        own_pass = self._own_pass()
        hidden = self._hidden_states(passes, own_pass, pauses)
        picked = [
            states.flatten(0, 1) if forward_pass.logits_for is LogitsFor.ALL else states[:, -1]
            for forward_pass, states in zip(passes, hidden, strict=True)
            if forward_pass.logits_for is not LogitsFor.NONE
        ]
        logits = iter(self._project(picked, own_pass))
        return [
            states[0, :0] if forward_pass.logits_for is LogitsFor.NONE else next(logits)
            for forward_pass, states in zip(passes, hidden, strict=True)
        ]

    def _own_pass(self) -> CompiledPass | BigCodeCpu | None:
        """The fastest of this package's passes for the active adapter; None for transformers' own forward."""
        if self.compiled_pass is not None and self.compiled_pass.can_apply(self.adapters.active):
            return self.compiled_pass
        return self.cpu_pass

    def _hidden_states(
        self, passes: Sequence[ForwardPass], own_pass: CompiledPass | BigCodeCpu | None, pauses: Pauses | None
    ) -> list[torch.Tensor]:
        """The output of the last block after every new token: [rows, time, width] of each pass.

        transformers' own forward has applied the last norm to it, the others have not.
        """
        if own_pass is None and len(passes) == 1:
            (only,) = passes
            ids = torch.tensor(only.rows, device=model_shape.input_device(self.model))
            is_maskless = bool(self._devices) and prefill_attention.supports(
                self.model, only.cache.length + len(only.rows[0])
            )
            with prefill_attention.installed_in(self.model) if is_maskless else nullcontext():
                output = self.model.base_model(input_ids=ids, past_key_values=only.cache, use_cache=True)
            return [output.last_hidden_state]
        inputs = [(torch.tensor(forward_pass.rows), forward_pass.cache) for forward_pass in passes]
        if own_pass is None:
            return padded_batch.hidden_states(self.model, inputs)
        if isinstance(own_pass, CompiledPass):
            return own_pass.hidden_states(inputs, self.adapters.active, pauses)
        return own_pass.hidden_states(inputs)

    def _project(
        self, hidden: Sequence[torch.Tensor], own_pass: CompiledPass | BigCodeCpu | None
    ) -> tuple[torch.Tensor, ...]:
        """Output layer: [n, width] -> [n, vocabulary] of each."""
        if not hidden:
            return ()
        # Contiguous and of two dimensions: over a slice of three dimensions F.linear copies the whole output layer,
        # which took 1.3 of the 1.8 s that 32 tokens of a 1B model took. For the same reason no `logits_to_keep`.
        states = hidden[0].contiguous() if len(hidden) == 1 else torch.cat(list(hidden))
        if own_pass is not None:
            states = own_pass.norm(states)
        logits: torch.Tensor = self.model.get_output_embeddings()(states)
        logits = logits if logits.dtype == torch.float64 else logits.float()
        return torch.split(logits, [len(states) for states in hidden])


def _weight_bytes(model: torch.nn.Module) -> int:
    """Memory of all weights and buffers, each counted once."""
    tensors = {id(tensor): tensor for tensor in (*model.parameters(), *model.buffers())}
    return sum(map(quantization.tensor_bytes, tensors.values())) + packed_linear.bytes_of(model)
