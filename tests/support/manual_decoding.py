"""Logits and greedy tokens computed by plain forward passes, to compare with the answers to requests."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch

from starcoder_ls.engine.adapters.resident_adapters import ResidentAdapter
from starcoder_ls.engine.forward_pass import ForwardPass, LogitsFor
from starcoder_ls.engine.generation.loaded_model import LoadedModel
from starcoder_ls.engine.generation.request_generation import GenerationState, generate_alone
from starcoder_ls.engine.kv_cache.cache import KvCache
from starcoder_ls.engine.runner.model_runner import ModelRunner
from starcoder_ls.generation import Request


def forward(
    runner: ModelRunner, rows: list[list[int]], cache: KvCache, adapter: ResidentAdapter | None = None
) -> torch.Tensor:
    """Read ``rows``; the logits after the last token of each: [rows, vocabulary]."""
    return runner.run(ForwardPass(rows, cache), adapter).values


def forward_all(
    runner: ModelRunner, ids: list[int], cache: KvCache, adapter: ResidentAdapter | None = None
) -> torch.Tensor:
    """Read one row; the logits after each of its tokens: [time, vocabulary]."""
    return runner.run(ForwardPass([ids], cache, LogitsFor.ALL), adapter).values


def read(runner: ModelRunner, rows: list[list[int]], cache: KvCache, adapter: ResidentAdapter | None = None) -> None:
    """Read ``rows`` into ``cache``."""
    runner.run(ForwardPass(rows, cache, LogitsFor.NONE), adapter)


def use_transformers_forward(runner: ModelRunner) -> None:
    """All passes run through the transformers model's own forward, as on a GPU."""
    runner.cpu_pass = runner.compiled_pass = None


def compute_logits(
    loaded: LoadedModel, ids: Sequence[int], adapter: str | None = None, chunk_tokens: int | None = None
) -> torch.Tensor:
    """The logits after each of ``ids``, through ``adapter``: [time, vocabulary], on the CPU.

    Each forward pass reads ``chunk_tokens`` tokens; without it, one pass reads all.
    """
    resident, step = loaded.adapters.find(adapter), chunk_tokens or len(ids)
    cache = cache_with_virtual_tokens(loaded, resident, len(ids))
    chunks = [list(ids[start : start + step]) for start in range(0, len(ids), step)]
    return torch.cat([forward_all(loaded.runner, chunk, cache, resident) for chunk in chunks]).cpu()


def request_and_greedy_tokens(loaded: LoadedModel, text: str, adapter: str | None) -> tuple[list[int], list[int]]:
    """Token ids of the answer to a request for six tokens, and as many that plain forward passes choose greedily."""
    resident = loaded.adapters.find(adapter)
    outputs = generate_alone(Request((text,), 6, adapter=adapter), GenerationState.empty(loaded))
    generated = [id_ for chunks in outputs for chunk in chunks for id_ in chunk.token_ids]
    ids = loaded.tokenizer.encode([text])
    cache, greedy = cache_with_virtual_tokens(loaded, resident, len(ids) + len(generated)), list[int]()
    while len(greedy) < len(generated):
        greedy.append(int(forward(loaded.runner, [greedy[-1:] or ids], cache, resident).argmax()))
    return generated, greedy


def chunk_ranges(ids: Sequence[int], sizes: Sequence[int], rewind: int, cache: KvCache) -> Iterator[tuple[int, int]]:
    """Start and end of consecutive chunks of ``ids`` with ``sizes``; after the second, ``cache`` is truncated by
    ``rewind`` tokens, which the next chunks read again."""
    start = 0
    for number, size in enumerate(sizes):
        end = min(start + size, len(ids))
        if end == start:
            return
        yield start, end
        start = end
        if number == 1:
            start = max(0, end - rewind)
            cache.truncate(start)


def cache_with_virtual_tokens(loaded: LoadedModel, adapter: ResidentAdapter | None, tokens: int) -> KvCache:
    """An empty cache, except for the virtual tokens of ``adapter``."""
    cache = KvCache(loaded.runner.layers, tokens + (0 if adapter is None else adapter.virtual_token_count))
    if adapter is not None and adapter.virtual_tokens is not None:
        loaded.runner.write_virtual_tokens(adapter, cache)
    return cache
