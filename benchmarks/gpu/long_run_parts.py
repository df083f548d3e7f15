"""Parts of the GPU benchmark about reading prompts, and about what is left after many requests."""

from __future__ import annotations

import gc
import random
import time
from typing import Any

import torch
from bench import Bench
from goals import Goal
from measure import MODULES, Table, read_module_source, synchronize
from pass_parts import ADAPTERS, attach_random
from request_parts import CountingOutput

from starcoder_ls.cancel_flag import CancelFlag
from starcoder_ls.engine.adapters.resident_adapters import ResidentAdapter
from starcoder_ls.engine.forward_pass import ForwardPass, LogitsFor
from starcoder_ls.engine.generation.request_generation import GenerationState
from starcoder_ls.engine.kv_cache.cache import KvCache
from starcoder_ls.engine.runner.pass_costs import GPU_CHUNK_TOKENS
from starcoder_ls.engine.scheduling.batcher import Batcher
from starcoder_ls.engine.scheduling.request_queue import RequestQueue, ScheduledRequest
from starcoder_ls.generation import Request, Sampling

EDITORS = 4
"""Requests that are in the queue at the same time."""


def measure_prefill(bench: Bench) -> Table:
    """2,048 tokens read in chunks of each size; the longest chunk is how long a key may wait."""
    tokens, rows = min(2048, bench.loaded.context_tokens - 1), []
    chosen = bench.runner.chunk_tokens
    for chunk in sorted({chosen, *(size for size in GPU_CHUNK_TOKENS if size <= tokens)}):
        attempts = [read_ms(bench, tokens, chunk) for _ in range(2 if bench.is_quick else 4)][1:]
        total_ms, longest_ms = min(attempts)
        rows.append([chunk, "chosen" if chunk == chosen else "", total_ms, longest_ms, total_ms * 1000 / tokens])
        if chunk == chosen:
            bench.goals[f"{tokens:,} tokens read, ms"] = Goal(total_ms, 75.0, is_limit=True)
            bench.goals["longest chunk, ms"] = Goal(longest_ms, 20.0, is_limit=True)
    return Table(["chunk", "", f"{tokens:,} tokens, ms", "longest chunk, ms", "us per token"], rows)


def read_ms(bench: Bench, tokens: int, chunk: int) -> tuple[float, float]:
    """Milliseconds of all chunks together, and of the longest."""
    cache, took_ms = KvCache(bench.runner.layers, tokens), []
    synchronize(bench.device)
    for start in range(0, tokens, chunk):
        forward_pass = ForwardPass([bench.ids[start : min(start + chunk, tokens)]], cache, LogitsFor.NONE)
        started_s = time.perf_counter()
        bench.runner.run(forward_pass)
        took_ms.append((time.perf_counter() - started_s) * 1000)
    return sum(took_ms), max(took_ms)


def measure_long_run(bench: Bench) -> Table:
    """300 requests of all kinds with resident adapters, of which every third is cancelled; memory before and after."""
    count = 12 if bench.is_quick else 300
    adapters = [attach_random(bench, name, *adapter) for name, adapter in ADAPTERS.items()]
    try:
        for _ in range(2):  # the first requests graphs, the second verifies them
            answer_many(bench, adapters, min(count, 60))
            bench.capture_graphs()
        before = allocated_bytes(bench.device)
        started_s = time.perf_counter()
        outputs = answer_many(bench, adapters, count)
        elapsed_s = time.perf_counter() - started_s
        after = allocated_bytes(bench.device)
    finally:
        bench.loaded.adapters.activate(None)
        for adapter in adapters:
            bench.loaded.adapters.remove(adapter.name)
        bench.graphs.retain_adapters(bench.loaded.adapters.keys)
    bench.goals[f"growth after {count} requests, bytes"] = Goal(float(abs(after - before)), 0.0, is_limit=True)
    tokens = sum(output.tokens for output in outputs)
    header = ["requests", "tokens/s", "MB before", "MB after", "growth, bytes"]
    return Table(header, [[count, tokens / elapsed_s, before / 1e6, after / 1e6, after - before]])


def answer_many(bench: Bench, adapters: list[ResidentAdapter], count: int) -> list[CountingOutput]:
    """Answer ``count`` requests, ``EDITORS`` at a time; the same ones in each call. Caches are dropped at the end."""
    queue, state, rng = RequestQueue(), GenerationState.empty(bench.loaded), random.Random(0)

    def on_finished(scheduled: ScheduledRequest) -> None:
        queue.remove(scheduled)
        scheduled.output.put(None)

    batcher, outputs = Batcher(queue, state, on_finished), list[CountingOutput]()
    cancel_at_step: dict[int, list[CancelFlag]] = {}
    step = 0
    while len(outputs) < count or not queue.is_idle():
        while len(outputs) < count and sum(1 for output in outputs if not output.finished_s) < EDITORS:
            scheduled = build_request(rng, len(outputs), adapters, bench.max_tokens)
            if len(outputs) % 3 == 0:
                cancel_at_step.setdefault(step + rng.randrange(1, 12), []).append(scheduled.request.cancel)
            outputs.append(scheduled.output)  # type: ignore[arg-type]
            queue.add(scheduled)
        scheduled_next = queue.next_request()
        assert scheduled_next is not None
        batcher.step(scheduled_next)
        step += 1
        for flag in cancel_at_step.pop(step, ()):
            flag.set()
    return outputs


def build_request(
    rng: random.Random, number: int, adapters: list[ResidentAdapter], max_tokens: int
) -> ScheduledRequest:
    source = read_module_source(MODULES[number % len(MODULES)])
    start, length = rng.randrange(4000), rng.randrange(200, min(2400, 2 * max_tokens))
    adapter = rng.choice([None, *adapters])
    request = Request(
        (source[start : start + length],), rng.choice([4, 8, 16]), candidates=rng.choice([1, 1, 3]),
        sampling=Sampling(0.8, 0.95, number), client=str(number % EDITORS), cancel=CancelFlag(),
        adapter=None if adapter is None else adapter.name,
    )  # fmt: skip
    return ScheduledRequest(request, CountingOutput(), adapter=adapter)


def allocated_bytes(device: torch.device) -> int:
    """Memory of all tensors on ``device``; on a CPU, of those that Python can reach."""
    gc.collect()
    synchronize(device)
    if device.type == "cuda":
        return torch.cuda.memory_allocated(device)
    storages: dict[int, int] = {}
    for candidate in gc.get_objects():
        if issubclass(type(candidate), torch.Tensor):  # isinstance also asks proxies, some of which warn
            add_storage(storages, candidate)
    return sum(storages.values())


def add_storage(storages: dict[int, int], tensor: Any) -> None:
    try:
        storage = tensor.untyped_storage()
        storages[storage.data_ptr()] = storage.nbytes()
    except (RuntimeError, NotImplementedError):
        return  # it has none, such as tensors on the meta device or of subclasses
