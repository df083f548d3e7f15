"""What a pass costs on this machine, measured once when a model is loaded.

The measurements decide how many prompt tokens one pass reads and how many draft tokens are worth trying.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from itertools import pairwise
from typing import Any, Protocol

import torch

from starcoder_ls.engine import model_shape
from starcoder_ls.engine.forward_pass import ForwardPass, LogitsFor
from starcoder_ls.engine.kv_cache.cache import KvCache
from starcoder_ls.engine.logits import Logits

# A keystroke waits for the chunk that runs, or for some of its layers if the pass can pause. Below 32 rows reading the
# weights costs more than the arithmetic.
MAX_CHUNK_MS = 20.0
MAX_PAUSING_CHUNK_MS = 160.0
"""Of a chunk that can pause for others. A key in the same document waits for all of it: it usually needs it itself."""
CHUNK_TOKENS = (512, 256, 128, 64, 32)

GPU_CHUNK_TOKENS = (64, 128, 256, 512, 1024, 2048)
"""On a GPU a short pass is bound by its launches and by reading the weights, so that 64 tokens cost what 256 do."""
MIN_GPU_CHUNK_TOKENS = 32
MAX_CHUNK_FACTOR = 1.5
"""Where reading the weights alone takes longer than ``MAX_CHUNK_MS``, a chunk may take this much more than the
shortest."""

PROBED_TOKENS = (1, 2, 4, 8)
MAX_PROBES, MAX_PROBING_MS = 12, 300.0


class Runner(Protocol):
    """What is measured: a ``ModelRunner``."""

    model: Any
    layers: int
    token_ms: float

    def can_pause(self, adapter: None) -> bool: ...

    def run(self, forward_pass: ForwardPass) -> Logits: ...


def measure_chunk_tokens(runner: Runner, context_tokens: int) -> int:
    """Warm the model up; the most prompt tokens that one pass reads within ``MAX_CHUNK_MS``, or within
    ``MAX_PAUSING_CHUNK_MS`` if it can pause. On a CPU also sets ``token_ms`` of the runner.

    On a CPU, where the time grows with the tokens, one pass is measured; elsewhere passes of each size. Chosen once
    and from powers of two: sizes that followed the load of the machine would change the last bits of the logits from
    one request to the next.
    """
    if model_shape.input_device(runner.model).type != "cpu":
        return _measure_gpu_chunk_tokens(runner, context_tokens)
    probe = min(64, context_tokens - 1)
    elapsed_ms = 0.0
    for _ in range(2):  # the first allocates, picks kernels and pages the weights in
        cache = KvCache(runner.layers, context_tokens if context_tokens < 2 * probe else 2 * probe)
        elapsed_ms = _measure_ms(runner, ForwardPass([[0] * probe], cache))
        runner.run(ForwardPass([[0]], cache))
    runner.token_ms = elapsed_ms / probe
    return tokens_within(MAX_PAUSING_CHUNK_MS if runner.can_pause(None) else MAX_CHUNK_MS, runner.token_ms)


def tokens_within(max_ms: float, token_ms: float) -> int:
    """The largest of ``CHUNK_TOKENS`` that takes ``max_ms`` at most where a token takes ``token_ms``; else the
    smallest."""
    return next((tokens for tokens in CHUNK_TOKENS if token_ms * tokens <= max_ms), CHUNK_TOKENS[-1])


def _measure_gpu_chunk_tokens(runner: Runner, context_tokens: int) -> int:
    """The largest of ``GPU_CHUNK_TOKENS`` that takes ``MAX_CHUNK_MS`` at most, or ``MAX_CHUNK_FACTOR`` times what
    ``MIN_GPU_CHUNK_TOKENS`` take."""
    fitting = min(MIN_GPU_CHUNK_TOKENS, context_tokens - 1)
    max_ms = max(MAX_CHUNK_MS, MAX_CHUNK_FACTOR * _measure_chunk_ms(runner, fitting))
    for tokens in GPU_CHUNK_TOKENS:
        if tokens >= context_tokens or _measure_chunk_ms(runner, tokens) > max_ms:
            break
        fitting = tokens
    return fitting


def _measure_chunk_ms(runner: Runner, tokens: int) -> float:
    """The shorter of two passes over ``tokens`` tokens; one before allocates memory and picks kernels."""
    cache = KvCache(runner.layers, tokens)
    measured = []
    for _ in range(3):
        cache.truncate(0)
        measured.append(_measure_ms(runner, ForwardPass([[0] * tokens], cache)))
    return min(measured[1:])


def measure_pass_costs(runner: Runner, context_tokens: int) -> tuple[float, ...]:
    """Milliseconds of a pass over 1, 2, ... tokens; empty where the context has no room to measure.

    The minimum of several tries, the sizes taken in turn: other processes make a try longer, never shorter. A slow
    model is tried less often, so that loading it does not take longer.
    """
    measured: dict[int, float] = {}
    behind = min(64, context_tokens - max(PROBED_TOKENS) - 1)
    if behind < 1:
        return ()
    cache = KvCache(runner.layers, behind + max(PROBED_TOKENS))
    runner.run(ForwardPass([[0] * behind], cache))
    spent_ms = 0.0
    for attempt in range(MAX_PROBES):
        for tokens in PROBED_TOKENS:
            cache.truncate(behind)
            took_ms = _measure_ms(runner, ForwardPass([[0] * tokens], cache, LogitsFor.ALL))
            measured[tokens] = min(took_ms, measured.get(tokens, took_ms))
            spent_ms += took_ms
        if spent_ms > MAX_PROBING_MS and attempt:
            break
    return interpolate(measured)


def interpolate(measured: Mapping[int, float]) -> tuple[float, ...]:
    """Milliseconds of a pass over 1, 2, ... tokens, linear between the sizes that were measured."""
    sizes = sorted(measured)
    between = [(low, high, n) for low, high in pairwise(sizes) for n in range(low, high)]
    costs = [measured[lo] + (measured[hi] - measured[lo]) * (n - lo) / (hi - lo) for lo, hi, n in between]
    return (*costs, measured[sizes[-1]])


def step_costs(measured: Mapping[int, float]) -> tuple[float, ...]:
    """Milliseconds of a replay over 1, 2, ... tokens: a CUDA graph costs the same for any number that it is used for.

    ``measured`` has the numbers of tokens for which graphs are captured; a pass uses the smallest that holds it.
    """
    sizes = sorted(measured)
    return tuple(measured[high] for low, high in pairwise((0, *sizes)) for _ in range(high - low))


def _measure_ms(runner: Runner, forward_pass: ForwardPass) -> float:
    started_ms = _now_ms(model_shape.input_device(runner.model))
    float(runner.run(forward_pass).values[-1, 0])  # reading a value waits for the device
    return _now_ms(model_shape.input_device(runner.model)) - started_ms


def _now_ms(device: torch.device) -> float:
    """On a CPU the time that this thread has worked; a clock also counts what other programs take meanwhile.

    Beside four busy processes 2 tokens seemed to cost twice what 8 do, and a 164M model got chunks of 32, not 128.
    """
    return (time.thread_time() if device.type == "cpu" else time.perf_counter()) * 1000
